//! `#[weir::aggregate]`.

use proc_macro2::{Ident, Span, TokenStream};
use quote::quote;
use syn::{FnArg, ImplItem, ImplItemFn, ItemImpl, Pat, Result, Type};

use crate::implementation::{complete, names, snake_case, type_name};
use crate::options::{Options, description, sql_name};
use crate::rows::argument_name;

pub(crate) fn expand(options: TokenStream, item: TokenStream) -> Result<TokenStream> {
    let known = ["name", "description", "arguments", "parameters", "algebra"];
    let options = Options::parse(options, &known)?;
    let mut implementation: ItemImpl = syn::parse2(item)?;
    let of = type_name(&implementation, "Aggregate", "an aggregate")?;
    let name = sql_name(options.name.as_ref(), &snake_case(&of.to_string()), of.span())?;
    let text = description(options.description.as_ref(), &implementation.attrs);
    let algebra = algebra(options.algebra.as_ref())?;
    let arguments = options.arguments.as_deref().map_or_else(|| input_names(&implementation), names);
    let parameters = options.parameters.as_deref().map_or_else(Vec::new, names);
    complete(&mut implementation);
    let this = &implementation.self_ty;
    Ok(quote! {
        #implementation

        impl ::weir::aggregate::AggregateFunction for #this {
            const NAME: &'static str = #name;
            fn describe() -> ::weir::aggregate::AggregateInfo {
                ::weir::aggregate::describe::<Self>(
                    &[#(#parameters),*],
                    &[#(#arguments),*],
                    ::weir::Algebra::#algebra,
                    #text,
                )
            }
        }
    })
}

fn method<'a>(implementation: &'a ItemImpl, name: &str) -> Option<&'a ImplItemFn> {
    implementation.items.iter().find_map(|item| match item {
        ImplItem::Fn(function) if function.sig.ident == name => Some(function),
        _ => None,
    })
}

/// The arguments' names as the pattern of `update` has them, as far as it has any.
fn input_names(implementation: &ItemImpl) -> Vec<String> {
    let input = method(implementation, "update").and_then(|update| update.sig.inputs.iter().nth(2));
    let Some(FnArg::Typed(input)) = input else { return Vec::new() };
    let named = |pattern: &Pat, position: usize| match pattern {
        Pat::Ident(name) => argument_name(&name.ident),
        _ => format!("value_{}", position + 1),
    };
    match input.pat.as_ref() {
        Pat::Tuple(tuple) => tuple.elems.iter().enumerate().map(|(at, pattern)| named(pattern, at)).collect(),
        Pat::Ident(name) if !matches!(input.ty.as_ref(), Type::Tuple(_)) => vec![argument_name(&name.ident)],
        _ => Vec::new(),
    }
}

fn algebra(option: Option<&Ident>) -> Result<Ident> {
    let Some(word) = option else { return Ok(Ident::new("Ordered", Span::call_site())) };
    let case = match word.to_string().as_str() {
        "exact" => "Exact",
        "ordered" => "Ordered",
        "approximate" => "Approximate",
        _ => return Err(syn::Error::new(word.span(), "an algebra is exact, ordered or approximate")),
    };
    Ok(Ident::new(case, word.span()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_left_out_is_added() {
        let item = quote! {
            impl Aggregate for LastSeen {
                fn update(&mut self, time: i64, (lat, _): (f64, f64)) {}
            }
        };
        let expanded = expand(quote!(), item).unwrap().to_string();
        for expected in ["type Parameters = () ;", "\"last_seen\"", "\"lat\" , \"value_2\"", "Ordered"] {
            assert!(expanded.contains(expected), "{expected} in {expanded}");
        }
    }

    #[test]
    fn what_is_not_an_aggregate_is_refused_with_a_reason() {
        let cases = [
            (quote!(), quote!(impl Trip {}), "impl weir::Aggregate for Type"),
            (
                quote!(),
                quote!(
                    impl<T> Aggregate for Trip<T> {}
                ),
                "without generics",
            ),
            (quote!(algebra = group), quote!(impl Aggregate for Trip {}), "exact, ordered or approximate"),
            (quote!(columnar), quote!(impl Aggregate for Trip {}), "unknown option `columnar`"),
        ];
        for (options, item, expected) in cases {
            let message = expand(options, item).err().unwrap().to_string();
            assert!(message.contains(expected), "{message}");
        }
    }
}
