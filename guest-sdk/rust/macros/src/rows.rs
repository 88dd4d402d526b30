//! Functions that are called for many rows: by rows, as a plain `fn` says them, or by whole columns. Knows what such a function
//! takes and returns, and not what it is made into.

use proc_macro2::{Ident, Span, TokenStream};
use quote::{format_ident, quote};
use syn::{FnArg, ItemFn, Pat, PatType, Result, ReturnType, Type};

use crate::options::{Options, description, sql_name};

/// What functions of one kind are called in messages, and where the kit has what calls them.
pub(crate) struct Kind {
    /// With its article: `a transform`.
    pub(crate) what: &'static str,
    /// The kit's module that has `for_each_row`.
    pub(crate) module: &'static str,
    /// The options of a columnar one, as somebody would write them.
    pub(crate) columnar: &'static str,
}

/// A function as it describes itself.
pub(crate) struct Function {
    pub(crate) item: ItemFn,
    pub(crate) name: String,
    pub(crate) description: String,
    /// The arguments' names.
    pub(crate) arguments: Vec<String>,
    /// What it takes of a row: the tuple of its arguments' types.
    pub(crate) input: TokenStream,
    pub(crate) returned: TokenStream,
    /// An expression that calls it for `rows` rows of the columns `arguments`.
    pub(crate) call: TokenStream,
}

impl Function {
    /// Reads an annotated function.
    pub(crate) fn read(options: TokenStream, item: TokenStream, kind: &Kind) -> Result<Self> {
        let options = Options::parse(options, &["name", "description", "columnar", "arguments", "returns"])?;
        let item: ItemFn = syn::parse2(item)?;
        let shape = if options.columnar.is_some() {
            columnar(&options, &item, kind)?
        } else {
            row_wise(&options, &item, kind)?
        };
        let Shape { arguments, input, returned, call } = shape;
        let ident = &item.sig.ident;
        let name = sql_name(options.name.as_ref(), &ident.to_string(), ident.span())?;
        let description = description(options.description.as_ref(), &item.attrs);
        Ok(Function { item, name, description, arguments, input, returned, call })
    }
}

/// What the description and the call are made of.
struct Shape {
    arguments: Vec<String>,
    input: TokenStream,
    returned: TokenStream,
    call: TokenStream,
}

fn row_wise(options: &Options, function: &ItemFn, kind: &Kind) -> Result<Shape> {
    let what = kind.what;
    let refuse = |message: &str| Err(syn::Error::new(function.sig.ident.span(), message));
    if options.arguments.is_some() || options.returns.is_some() {
        return refuse("`arguments` and `returns` belong to `columnar`; here the function says them");
    }
    let signature = &function.sig;
    if !signature.generics.params.is_empty() || signature.asyncness.is_some() || signature.unsafety.is_some()
    {
        return refuse(&format!("{what} is a plain `fn`: not generic, async or unsafe"));
    }
    let ReturnType::Type(_, returned) = &signature.output else {
        return refuse(&format!("{what} returns a value"));
    };
    let mut names = Vec::new();
    let mut types: Vec<&Type> = Vec::new();
    for argument in &signature.inputs {
        let FnArg::Typed(PatType { pat, ty, .. }) = argument else {
            return refuse(&format!("{what} takes no `self`"));
        };
        let Pat::Ident(pattern) = pat.as_ref() else {
            return refuse(&format!("an argument of {what} is a plain name"));
        };
        names.push(argument_name(&pattern.ident));
        types.push(ty);
    }
    let (ident, module) = (&signature.ident, Ident::new(kind.module, Span::call_site()));
    let places: Vec<Ident> = (0..types.len()).map(|place| format_ident!("argument_{place}")).collect();
    let input = quote!((#(#types,)*));
    let call = quote! {
        ::weir::#module::for_each_row::<#input, #returned>(arguments, rows, |(#(#places,)*)| #ident(#(#places),*))
    };
    Ok(Shape { arguments: names, input, returned: quote!(#returned), call })
}

fn columnar(options: &Options, function: &ItemFn, kind: &Kind) -> Result<Shape> {
    let ident = &function.sig.ident;
    let (Some(arguments), Some(returned)) = (&options.arguments, &options.returns) else {
        let message = format!("a columnar function says its types: `{}`", kind.columnar);
        return Err(syn::Error::new(ident.span(), message));
    };
    let mut names = Vec::new();
    let mut types = Vec::new();
    for argument in arguments {
        let Some(of) = &argument.of else {
            return Err(syn::Error::new(argument.name.span(), "say the type: `name: f64`"));
        };
        names.push(argument_name(&argument.name));
        types.push(of);
    }
    let call = quote!(#ident(arguments, rows));
    Ok(Shape { arguments: names, input: quote!((#(#types,)*)), returned: quote!(#returned), call })
}

/// An argument's name without the `_` of an unused one.
pub(crate) fn argument_name(ident: &Ident) -> String {
    ident.to_string().trim_start_matches("r#").trim_start_matches('_').to_owned()
}
