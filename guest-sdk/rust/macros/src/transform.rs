//! `#[weir::transform]`.

use proc_macro2::TokenStream;
use quote::quote;
use syn::Result;

use crate::rows::{Function, Kind};

const TRANSFORM: Kind = Kind {
    what: "a transform",
    module: "transform",
    columnar: "columnar, arguments(fare: f64), returns = Risk",
};

pub(crate) fn expand(options: TokenStream, item: TokenStream) -> Result<TokenStream> {
    let Function { item, name, description, arguments, input, returned, call } =
        Function::read(options, item, &TRANSFORM)?;
    let (ident, visibility) = (&item.sig.ident, &item.vis);
    let note = format!("The transform `{name}`, for `weir::export!`.");
    Ok(quote! {
        #item

        // A type without values: it shares the function's name without meeting it.
        #[doc = #note]
        #[allow(non_camel_case_types)]
        #visibility enum #ident {}

        impl ::weir::transform::TransformFunction for #ident {
            const NAME: &'static str = #name;
            fn describe() -> ::weir::transform::TransformInfo {
                ::weir::transform::describe::<#input, #returned>(#name, &[#(#arguments),*], #description)
            }
            fn call(
                arguments: &[::weir::Column],
                rows: u32,
            ) -> ::std::result::Result<::std::vec::Vec<::weir::Column>, ::std::string::String> {
                #call
            }
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_a_transform_is_refused_with_a_reason() {
        let cases = [
            (
                quote!(),
                quote!(
                    fn risk(fare: f64) {}
                ),
                "a transform returns a value",
            ),
            (
                quote!(),
                quote!(
                    async fn risk(fare: f64) -> Risk {}
                ),
                "a transform is a plain `fn`",
            ),
            (
                quote!(),
                quote!(
                    fn risk(&self) -> Risk {}
                ),
                "a transform takes no `self`",
            ),
            (
                quote!(),
                quote!(
                    fn risk(Fare(fare): Fare) -> Risk {}
                ),
                "an argument of a transform is a plain name",
            ),
            (
                quote!(name = "Risk"),
                quote!(
                    fn risk(fare: f64) -> Risk {}
                ),
                "cannot be a name in SQL",
            ),
            (
                quote!(columnar, arguments(fare: f64)),
                quote!(
                    fn risk(a: &[Column], n: u32) -> R {}
                ),
                "`columnar, arguments(fare: f64), returns = Risk`",
            ),
            (
                quote!(algebra = exact),
                quote!(
                    fn risk(fare: f64) -> Risk {}
                ),
                "unknown option `algebra`",
            ),
        ];
        for (options, item, expected) in cases {
            let message = expand(options, item).err().unwrap().to_string();
            assert!(message.contains(expected), "{message}");
        }
    }
}
