//! `#[derive(weir::Row)]` and `#[derive(weir::Event)]`: structs whose fields are columns.

use proc_macro2::{Ident, Span, TokenStream};
use quote::{format_ident, quote};
use syn::{Data, DeriveInput, Fields, Result, Type};

use crate::rows::argument_name;

pub(crate) fn row(item: TokenStream) -> Result<TokenStream> {
    let of = Struct::of(item, "a row")?;
    let Struct { this, members, types, names, columns } = &of;
    let cells: Vec<TokenStream> = types.iter().map(|of| quote!(<#of as ::weir::Returned>::Cell)).collect();
    let cells_of: Vec<Ident> = (0..members.len()).map(|place| format_ident!("cell_{place}")).collect();
    Ok(quote! {
        impl ::weir::row::Row for #this {
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
                let (#(#columns,)*) = builders;
                #(#columns.push(#cells_of);)*
                ::std::result::Result::Ok(())
            }
            fn push_nothing(builders: &mut Self::Builders) {
                let (#(#columns,)*) = builders;
                #(#columns.push(::std::option::Option::None);)*
            }
            fn finish(builders: Self::Builders) -> ::std::vec::Vec<::weir::Column> {
                let (#(#columns,)*) = builders;
                ::std::vec![#(#columns.finish()),*]
            }
        }
    })
}

pub(crate) fn event(item: TokenStream) -> Result<TokenStream> {
    let of = Struct::of(item, "an event")?;
    let Struct { this, members, types, names, columns } = &of;
    Ok(quote! {
        impl ::weir::row::Event for #this {
            type Readers<'a> = (#(::weir::Reader<'a, #types>,)*);
            fn columns() -> ::std::vec::Vec<::weir::Field> {
                ::std::vec![#(::weir::Field {
                    name: ::std::string::ToString::to_string(#names),
                    data_type: <#types as ::weir::Argument<'static>>::TYPE,
                }),*]
            }
            fn open(
                columns: &[::weir::Column],
                rows: usize,
            ) -> ::std::result::Result<Self::Readers<'_>, ::std::string::String> {
                let [#(#columns),*] = ::weir::row::exactly(columns)?;
                ::std::result::Result::Ok((#(::weir::row::reader(#names, #columns, rows)?,)*))
            }
            fn read(readers: &Self::Readers<'_>, row: usize) -> ::std::option::Option<Self> {
                let (#(#columns,)*) = readers;
                ::std::option::Option::Some(#this { #(#members: #columns.get(row)?),* })
            }
        }
    })
}

/// The fields of a struct, of which each is a column.
struct Struct {
    this: Ident,
    members: Vec<Ident>,
    types: Vec<Type>,
    /// What the columns are called.
    names: Vec<String>,
    /// What they are called within the functions that are made.
    columns: Vec<Ident>,
}

impl Struct {
    fn of(item: TokenStream, what: &str) -> Result<Self> {
        let input: DeriveInput = syn::parse2(item)?;
        let refuse = || {
            let message = format!("{what} is a plain struct with named fields, each a column");
            syn::Error::new(Span::call_site(), message)
        };
        let Data::Struct(of) = input.data else { return Err(refuse()) };
        let Fields::Named(fields) = of.fields else { return Err(refuse()) };
        if fields.named.is_empty() || !input.generics.params.is_empty() {
            return Err(refuse());
        }
        let fields = fields.named.into_iter().filter_map(|field| Some((field.ident?, field.ty)));
        let (members, types): (Vec<Ident>, Vec<Type>) = fields.unzip();
        let names = members.iter().map(argument_name).collect();
        let columns = (0..members.len()).map(|place| format_ident!("column_{place}")).collect();
        Ok(Struct { this: input.ident, members, types, names, columns })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_a_row_or_an_event_is_refused_with_a_reason() {
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
            let message = row(item.clone()).err().unwrap().to_string();
            assert!(message.contains("a row is a plain struct with named fields"), "{message}");
            let message = event(item).err().unwrap().to_string();
            assert!(message.contains("an event is a plain struct with named fields"), "{message}");
        }
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
