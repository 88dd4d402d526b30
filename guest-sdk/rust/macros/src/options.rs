//! What may stand in an attribute's parentheses, and the texts that are taken from the item instead.

use proc_macro2::{Span, TokenStream};
use syn::parse::{Parse, ParseStream, Parser};
use syn::punctuated::Punctuated;
use syn::{Attribute, Expr, ExprLit, Ident, Lit, LitStr, Meta, Result, Token, Type, parenthesized};

/// An argument that is named, and typed where nothing else knows its type.
pub(crate) struct Argument {
    pub(crate) name: Ident,
    pub(crate) of: Option<Type>,
}

impl Parse for Argument {
    fn parse(input: ParseStream) -> Result<Self> {
        let name = input.parse()?;
        let typed = input.peek(Token![:]);
        let of = typed.then(|| input.parse::<Token![:]>().and_then(|_| input.parse())).transpose()?;
        Ok(Argument { name, of })
    }
}

/// The options of both attributes; each refuses those that are not its own.
#[derive(Default)]
pub(crate) struct Options {
    pub(crate) name: Option<LitStr>,
    pub(crate) description: Option<LitStr>,
    pub(crate) columnar: Option<Ident>,
    pub(crate) returns: Option<Type>,
    pub(crate) arguments: Option<Vec<Argument>>,
    pub(crate) parameters: Option<Vec<Argument>>,
    pub(crate) algebra: Option<Ident>,
}

impl Options {
    /// Reads the options, of which only those in `known` are allowed.
    pub(crate) fn parse(tokens: TokenStream, known: &[&str]) -> Result<Self> {
        let mut options = Options::default();
        let parser = |input: ParseStream| {
            while !input.is_empty() {
                options.read_one(input, known)?;
                if !input.is_empty() {
                    input.parse::<Token![,]>()?;
                }
            }
            Ok(())
        };
        parser.parse2(tokens)?;
        Ok(options)
    }

    fn read_one(&mut self, input: ParseStream, known: &[&str]) -> Result<()> {
        let key: Ident = input.parse()?;
        let word = key.to_string();
        if !known.contains(&word.as_str()) {
            let message = format!("unknown option `{word}`; there are: {}", known.join(", "));
            return Err(syn::Error::new(key.span(), message));
        }
        match word.as_str() {
            "columnar" => self.columnar = Some(key),
            "arguments" => self.arguments = Some(list(input)?),
            "parameters" => self.parameters = Some(list(input)?),
            "name" => self.name = Some(assigned(input)?),
            "description" => self.description = Some(assigned(input)?),
            "returns" => self.returns = Some(assigned(input)?),
            _ => self.algebra = Some(assigned(input)?),
        }
        Ok(())
    }
}

fn assigned<T: Parse>(input: ParseStream) -> Result<T> {
    input.parse::<Token![=]>()?;
    input.parse()
}

fn list(input: ParseStream) -> Result<Vec<Argument>> {
    let content;
    parenthesized!(content in input);
    Ok(Punctuated::<Argument, Token![,]>::parse_terminated(&content)?.into_iter().collect())
}

/// The name in SQL: what the option says, or else what the item is called. Refused where SQL could not
/// call it.
pub(crate) fn sql_name(option: Option<&LitStr>, item: &str, span: Span) -> Result<String> {
    let (name, span) = option.map_or((item.to_owned(), span), |given| (given.value(), given.span()));
    let first = name.starts_with(|letter: char| letter.is_ascii_lowercase());
    let rest = name.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_');
    if first && rest && name.len() <= 64 {
        return Ok(name);
    }
    let message = format!(
        "`{name}` cannot be a name in SQL: it takes lower-case letters, digits and `_`, 64 at most, and \
         starts with a letter; give another with `name = \"..\"`"
    );
    Err(syn::Error::new(span, message))
}

/// The description: what the option says, or else the comment above the item, on one line.
pub(crate) fn description(option: Option<&LitStr>, attributes: &[Attribute]) -> String {
    let lines = attributes.iter().filter_map(|attribute| match &attribute.meta {
        Meta::NameValue(pair) if pair.path.is_ident("doc") => match &pair.value {
            Expr::Lit(ExprLit { lit: Lit::Str(line), .. }) => Some(line.value().trim().to_owned()),
            _ => None,
        },
        _ => None,
    });
    option.map_or_else(|| lines.collect::<Vec<_>>().join(" ").trim().to_owned(), LitStr::value)
}

#[cfg(test)]
mod tests {
    use quote::quote;

    use super::*;

    #[test]
    fn unknown_options_name_the_known_ones() {
        let error = Options::parse(quote!(colour = "red"), &["name", "algebra"]).err().unwrap();
        assert_eq!(error.to_string(), "unknown option `colour`; there are: name, algebra");
    }

    #[test]
    fn names_follow_sql() {
        let accepts = |name: &str| sql_name(None, name, Span::call_site()).is_ok();
        assert!(accepts("haversine_km2") && accepts(&"a".repeat(64)));
        for refused in ["", "Trip", "_x", "1st", "größe", &"a".repeat(65)] {
            assert!(!accepts(refused), "{refused}");
        }
    }
}
