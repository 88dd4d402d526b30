//! What the attributes of impls share: what a type is called, and what may be left out.

use proc_macro2::{Ident, Span};
use syn::{ImplItem, ItemImpl, Result, Type, parse_quote};

use crate::options::Argument;
use crate::rows::argument_name;

/// The name of the type that gets the trait; only a plain type can, and `what` says so.
pub(crate) fn type_name(implementation: &ItemImpl, of: &str, what: &str) -> Result<Ident> {
    let refuse = |message: String| Err(syn::Error::new(Span::call_site(), message));
    if implementation.trait_.is_none() {
        return refuse(format!("expected `impl weir::{of} for Type`"));
    }
    let last = match implementation.self_ty.as_ref() {
        Type::Path(path) => path.path.segments.last().filter(|last| last.arguments.is_none()),
        _ => None,
    };
    match last {
        Some(last) if implementation.generics.params.is_empty() => Ok(last.ident.clone()),
        _ => refuse(format!("{what} is a plain type without generics")),
    }
}

/// Adds what may be left out of the impl.
pub(crate) fn complete(implementation: &mut ItemImpl) {
    let has_parameters = implementation
        .items
        .iter()
        .any(|item| matches!(item, ImplItem::Type(associated) if associated.ident == "Parameters"));
    if !has_parameters {
        implementation.items.push(parse_quote!(
            type Parameters = ();
        ));
    }
}

/// The names that an option gives.
pub(crate) fn names(arguments: &[Argument]) -> Vec<String> {
    arguments.iter().map(|argument| argument_name(&argument.name)).collect()
}

/// `LastSeen` -> `last_seen`
pub(crate) fn snake_case(name: &str) -> String {
    let mut snake = String::with_capacity(name.len() + 4);
    for letter in name.chars() {
        if letter.is_uppercase() && !snake.is_empty() {
            snake.push('_');
        }
        snake.extend(letter.to_lowercase());
    }
    snake
}
