//! `#[weir::process]`.

use proc_macro2::TokenStream;
use quote::quote;
use syn::{ItemImpl, Result};

use crate::implementation::{complete, names, snake_case, type_name};
use crate::options::{Options, description, sql_name};

pub(crate) fn expand(options: TokenStream, item: TokenStream) -> Result<TokenStream> {
    let options = Options::parse(options, &["name", "description", "parameters"])?;
    let mut implementation: ItemImpl = syn::parse2(item)?;
    let of = type_name(&implementation, "Process", "keyed logic")?;
    let name = sql_name(options.name.as_ref(), &snake_case(&of.to_string()), of.span())?;
    let text = description(options.description.as_ref(), &implementation.attrs);
    let parameters = options.parameters.as_deref().map_or_else(Vec::new, names);
    complete(&mut implementation);
    let this = &implementation.self_ty;
    Ok(quote! {
        // What `on_event` returns is said more exactly than the trait says it.
        #[allow(refining_impl_trait)]
        #implementation

        impl ::weir::process::ProcessFunction for #this {
            const NAME: &'static str = #name;
            fn describe() -> ::weir::process::ProcessInfo {
                ::weir::process::describe::<Self>(&[#(#parameters),*], #text)
            }
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn name_description_and_what_is_left_out_are_taken_from_the_impl() {
        let item = quote! {
            /// A rider's
            /// visits.
            impl weir::Process for LongVisits {}
        };
        let expanded = expand(quote!(parameters(pause_minutes)), item).unwrap().to_string();
        for expected in
            ["type Parameters = () ;", "\"long_visits\"", "\"pause_minutes\"", "\"A rider's visits.\""]
        {
            assert!(expanded.contains(expected), "{expected} in {expanded}");
        }
    }

    #[test]
    fn what_is_not_keyed_logic_is_refused_with_a_reason() {
        let refused = [
            (quote!(), quote!(impl Visits {}), "impl weir::Process for Type"),
            (
                quote!(),
                quote!(
                    impl<T> Process for Visits<T> {}
                ),
                "without generics",
            ),
            (quote!(algebra = exact), quote!(impl Process for Visits {}), "unknown option `algebra`"),
        ];
        for (options, item, expected) in refused {
            let message = expand(options, item).err().unwrap().to_string();
            assert!(message.contains(expected), "{message}");
        }
    }
}
