//! `#[weir::scalar]`.

use proc_macro2::{Ident, Span, TokenStream};
use quote::quote;
use syn::{FnArg, ItemFn, Pat, PatType, Result, ReturnType, Type};

use crate::options::{Options, description, sql_name};

pub(crate) fn expand(options: TokenStream, item: TokenStream) -> Result<TokenStream> {
    let options = Options::parse(options, &["name", "description", "columnar", "arguments", "returns"])?;
    let function: ItemFn = syn::parse2(item)?;
    let shape = if options.columnar.is_some() {
        columnar(&options, &function)?
    } else {
        row_wise(&options, &function)?
    };
    let Shape { names, input, returned, call } = shape;
    let ident = &function.sig.ident;
    let name = sql_name(options.name.as_ref(), &ident.to_string(), ident.span())?;
    let text = description(options.description.as_ref(), &function.attrs);
    let visibility = &function.vis;
    let note = format!("The scalar function `{name}`, for `weir::export!`.");
    Ok(quote! {
        #function

        // A type without values: it shares the function's name without meeting it.
        #[doc = #note]
        #[allow(non_camel_case_types)]
        #visibility enum #ident {}

        impl ::weir::scalar::ScalarFunction for #ident {
            const NAME: &'static str = #name;
            fn describe() -> ::weir::scalar::FunctionInfo {
                ::weir::scalar::describe::<#input, #returned>(#name, &[#(#names),*], #text)
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

/// What the description and the call are made of.
struct Shape {
    names: Vec<String>,
    input: TokenStream,
    returned: TokenStream,
    call: TokenStream,
}

fn row_wise(options: &Options, function: &ItemFn) -> Result<Shape> {
    let span = function.sig.ident.span();
    if options.arguments.is_some() || options.returns.is_some() {
        return refuse(span, "`arguments` and `returns` belong to `columnar`; here the function says them");
    }
    let signature = &function.sig;
    if !signature.generics.params.is_empty() || signature.asyncness.is_some() || signature.unsafety.is_some()
    {
        return refuse(span, "a scalar function is a plain `fn`: not generic, async or unsafe");
    }
    let ReturnType::Type(_, returned) = &signature.output else {
        return refuse(span, "a scalar function returns a value");
    };
    let mut names = Vec::new();
    let mut types: Vec<&Type> = Vec::new();
    for argument in &signature.inputs {
        let FnArg::Typed(PatType { pat, ty, .. }) = argument else {
            return refuse(span, "a scalar function takes no `self`");
        };
        let Pat::Ident(pattern) = pat.as_ref() else {
            return refuse(span, "an argument of a scalar function is a plain name");
        };
        names.push(argument_name(&pattern.ident));
        types.push(ty);
    }
    let ident = &signature.ident;
    let places: Vec<Ident> =
        (0..types.len()).map(|place| Ident::new(&format!("argument_{place}"), Span::call_site())).collect();
    let input = quote!((#(#types,)*));
    let call = quote! {
        ::weir::scalar::for_each_row::<#input, #returned>(arguments, rows, |(#(#places,)*)| #ident(#(#places),*))
    };
    Ok(Shape { names, input, returned: quote!(#returned), call })
}

fn columnar(options: &Options, function: &ItemFn) -> Result<Shape> {
    let ident = &function.sig.ident;
    let (Some(arguments), Some(returned)) = (&options.arguments, &options.returns) else {
        return refuse(
            ident.span(),
            "a columnar function says its types: `columnar, arguments(lat: f64), returns = f64`",
        );
    };
    let mut names = Vec::new();
    let mut types = Vec::new();
    for argument in arguments {
        let Some(of) = &argument.of else {
            return refuse(argument.name.span(), "say the type: `name: f64`");
        };
        names.push(argument_name(&argument.name));
        types.push(of);
    }
    let call = quote!(#ident(arguments, rows));
    Ok(Shape { names, input: quote!((#(#types,)*)), returned: quote!(#returned), call })
}

/// An argument's name without the `_` of an unused one.
pub(crate) fn argument_name(ident: &Ident) -> String {
    ident.to_string().trim_start_matches("r#").trim_start_matches('_').to_owned()
}

fn refuse<T>(span: Span, message: &str) -> Result<T> {
    Err(syn::Error::new(span, message))
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
