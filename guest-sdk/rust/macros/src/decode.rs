//! `#[weir::decode]`.

use proc_macro2::TokenStream;
use quote::quote;
use syn::{ItemFn, Result, ReturnType};

use crate::options::Options;

pub(crate) fn expand(options: TokenStream, item: TokenStream) -> Result<TokenStream> {
    Options::parse(options, &[])?;
    let function: ItemFn = syn::parse2(item)?;
    let signature = &function.sig;
    let is_plain =
        signature.generics.params.is_empty() && signature.asyncness.is_none() && signature.unsafety.is_none();
    if !is_plain || signature.inputs.len() != 1 || matches!(signature.output, ReturnType::Default) {
        let message = "a decoder is a plain `fn(payload: &[u8]) -> Result<Row, E>`";
        return Err(syn::Error::new(signature.ident.span(), message));
    }
    let (ident, visibility) = (&signature.ident, &function.vis);
    Ok(quote! {
        #function

        // A type without values: it shares the function's name without meeting it.
        #[doc = "The decoder, for `weir::export!`."]
        #[allow(non_camel_case_types)]
        #visibility enum #ident {}

        impl ::weir::decode::Decoder for #ident {
            fn describe() -> ::std::vec::Vec<::weir::Field> {
                ::weir::decode::describe(|payload: &[u8]| #ident(payload))
            }
            fn decode(
                payloads: &[::std::vec::Vec<u8>],
                wanted: &[::std::string::String],
            ) -> ::std::result::Result<::weir::decode::Decoded, ::std::string::String> {
                ::weir::decode::for_each_payload(payloads, wanted, |payload: &[u8]| #ident(payload))
            }
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_a_decoder_is_refused_with_a_reason() {
        for item in [
            quote!(
                fn ride() -> Result<Ride, String> {}
            ),
            quote!(
                fn ride(payload: &[u8]) {}
            ),
        ] {
            let message = expand(quote!(), item).err().unwrap().to_string();
            assert!(message.contains("a plain `fn(payload: &[u8])"), "{message}");
        }
        assert!(
            expand(
                quote!(columnar),
                quote!(
                    fn a(b: &[u8]) -> C {}
                )
            )
            .is_err()
        );
    }
}
