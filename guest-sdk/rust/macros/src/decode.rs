//! `#[weir::decode]` and `#[derive(weir::Row)]`.

use proc_macro2::{Ident, Span, TokenStream};
use quote::{format_ident, quote};
use syn::{Data, DeriveInput, Fields, ItemFn, Result, ReturnType, Type};

use crate::options::Options;
use crate::scalar::argument_name;

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

pub(crate) fn row(item: TokenStream) -> Result<TokenStream> {
    let input: DeriveInput = syn::parse2(item)?;
    let refuse =
        || syn::Error::new(Span::call_site(), "a row is a plain struct with named fields, each a column");
    let Data::Struct(of) = &input.data else { return Err(refuse()) };
    let Fields::Named(fields) = &of.fields else { return Err(refuse()) };
    if fields.named.is_empty() || !input.generics.params.is_empty() {
        return Err(refuse());
    }
    let fields: Vec<(&Ident, &Type)> =
        fields.named.iter().filter_map(|field| Some((field.ident.as_ref()?, &field.ty))).collect();
    let (members, types): (Vec<_>, Vec<_>) = fields.into_iter().unzip();
    let names = members.iter().map(|member| argument_name(member));
    let cells: Vec<TokenStream> = types.iter().map(|of| quote!(<#of as ::weir::Returned>::Cell)).collect();
    let locals: Vec<Ident> = (0..members.len()).map(|place| format_ident!("column_{place}")).collect();
    let cells_of: Vec<Ident> = (0..members.len()).map(|place| format_ident!("cell_{place}")).collect();
    let this = &input.ident;
    Ok(quote! {
        impl ::weir::decode::Row for #this {
            type Builders = (#(::weir::Builder<#cells>,)*);
            fn columns() -> ::std::vec::Vec<::weir::Field> {
                ::std::vec![#(::weir::Field {
                    name: ::std::string::ToString::to_string(#names),
                    data_type: <#cells as ::weir::Cell>::TYPE,
                }),*]
            }
            fn builders(rows: usize) -> Self::Builders {
                (#(::weir::Builder::<#cells>::with_capacity(rows),)*)
            }
            fn push(self, builders: &mut Self::Builders) -> ::std::result::Result<(), ::std::string::String> {
                // All of them first: a field that fails adds nothing.
                let (#(#cells_of,)*) = (#(::weir::Returned::into_cell(self.#members)?,)*);
                let (#(#locals,)*) = builders;
                #(#locals.push(#cells_of);)*
                ::std::result::Result::Ok(())
            }
            fn push_nothing(builders: &mut Self::Builders) {
                let (#(#locals,)*) = builders;
                #(#locals.push(::std::option::Option::None);)*
            }
            fn finish(builders: Self::Builders) -> ::std::vec::Vec<::weir::Column> {
                let (#(#locals,)*) = builders;
                ::std::vec![#(#locals.finish()),*]
            }
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_a_row_or_a_decoder_is_refused_with_a_reason() {
        for item in [
            quote!(
                enum Ride {}
            ),
            quote!(
                struct Ride(i64);
            ),
            quote!(
                struct Ride<T> {
                    a: T,
                }
            ),
            quote!(
                struct Ride {}
            ),
        ] {
            let message = row(item).err().unwrap().to_string();
            assert!(message.contains("plain struct with named fields"), "{message}");
        }
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

    #[test]
    fn columns_are_called_as_fields_are() {
        let expanded = row(quote!(
            struct Ride {
                r#type: String,
                fare: Option<f64>,
            }
        ))
        .unwrap()
        .to_string();
        assert!(expanded.contains("\"type\"") && expanded.contains("\"fare\""), "{expanded}");
    }
}
