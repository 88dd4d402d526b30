//! `#[weir::scalar]`.

use proc_macro2::TokenStream;
use quote::quote;
use syn::Result;

use crate::rows::{Function, Kind};

const SCALAR: Kind = Kind {
    what: "a scalar function",
    module: "scalar",
    columnar: "columnar, arguments(lat: f64), returns = f64",
};

pub(crate) fn expand(options: TokenStream, item: TokenStream) -> Result<TokenStream> {
    let Function { item, name, description, arguments, input, returned, call } =
        Function::read(options, item, &SCALAR)?;
    let (ident, visibility) = (&item.sig.ident, &item.vis);
    let note = format!("The scalar function `{name}`, for `weir::export!`.");
    Ok(quote! {
        #item

        // A type without values: it shares the function's name without meeting it.
        #[doc = #note]
        #[allow(non_camel_case_types)]
        #visibility enum #ident {}

        impl ::weir::scalar::ScalarFunction for #ident {
            const NAME: &'static str = #name;
            fn describe() -> ::weir::scalar::FunctionInfo {
                ::weir::scalar::describe::<#input, #returned>(#name, &[#(#arguments),*], #description)
            }
            fn call(
                arguments: &[::weir::Column],
                rows: u32,
            ) -> ::std::result::Result<::weir::Column, ::std::string::String> {
                #call
            }
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_a_scalar_function_is_refused_with_a_reason() {
        let cases = [
            (
                quote!(),
                quote!(
                    fn f(x: f64) {}
                ),
                "a scalar function returns a value",
            ),
            (
                quote!(),
                quote!(
                    fn f<T>(x: T) -> f64 {
                        0.0
                    }
                ),
                "not generic",
            ),
            (
                quote!(),
                quote!(
                    fn f((a, b): (f64, f64)) -> f64 {
                        a
                    }
                ),
                "plain name",
            ),
            (
                quote!(),
                quote!(
                    fn Big(x: f64) -> f64 {
                        x
                    }
                ),
                "cannot be a name in SQL",
            ),
            (
                quote!(columnar),
                quote!(
                    fn f(a: &[Column], n: u32) -> R {
                        a
                    }
                ),
                "says its types",
            ),
            (
                quote!(returns = f64),
                quote!(
                    fn f(x: f64) -> f64 {
                        x
                    }
                ),
                "belong to `columnar`",
            ),
            (
                quote!(columnar, arguments(a), returns = f64),
                quote!(
                    fn f() -> R {
                        a
                    }
                ),
                "say the type",
            ),
        ];
        for (options, item, expected) in cases {
            let message = expand(options, item).err().unwrap().to_string();
            assert!(message.contains(expected), "{message}");
        }
    }
}
