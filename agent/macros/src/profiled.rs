use proc_macro2::TokenStream;
use quote::{quote, quote_spanned};
use syn::parse::{Parse, ParseStream};
use syn::{Ident, Item, ItemFn, LitStr, ReturnType, Token};

/// What may stand behind it.
const FORMS: &str = "there is `#[profiled]` and `#[profiled(name = \"…\")]`, and nothing else";

/// `name = "…"`, or nothing.
struct Arguments {
    name: Option<LitStr>,
}

impl Parse for Arguments {
    fn parse(input: ParseStream<'_>) -> syn::Result<Self> {
        if input.is_empty() {
            return Ok(Self { name: None });
        }
        let begin = input.span();
        let key: Option<Ident> = input.parse()?;
        if key.is_none_or(|key| key != "name") || input.parse::<Token![=]>().is_err() {
            return Err(syn::Error::new(begin, FORMS));
        }
        let at = input.span();
        let name: LitStr = input
            .parse()
            .map_err(|_| syn::Error::new(at, "the name is a string literal: `name = \"…\"`"))?;
        if name.value().is_empty() {
            return Err(syn::Error::new(name.span(), "the name is empty"));
        }
        if !input.is_empty() {
            return Err(input.error(FORMS));
        }
        Ok(Self { name: Some(name) })
    }
}

/// The function with its body in a scope.
pub(crate) fn expand(arguments: TokenStream, function: TokenStream) -> syn::Result<TokenStream> {
    let Arguments { name } = syn::parse2(arguments)?;
    let mut function = profiled(function)?;
    if let Some(constant) = &function.sig.constness {
        return Err(syn::Error::new(
            constant.span,
            "a `const fn` may run while it is compiled, where nothing can be measured: put `scope!` round its calls instead",
        ));
    }
    let site = site(&function, name.as_ref());
    let body = &function.block.stmts;
    let block = if function.sig.asyncness.is_some() {
        let output = output(&function.sig.output);
        quote!({
            #site
            ::appweight_agent::__private::Scoped::new(&__APPWEIGHT_SITE, async move {
                #output
                #(#body)*
            })
            .await
        })
    } else {
        quote!({
            #site
            let __appweight_scope = ::appweight_agent::__private::Scope::enter(&__APPWEIGHT_SITE);
            #(#body)*
        })
    };
    *function.block = syn::parse2(block)?;
    Ok(quote!(#function))
}

/// What it stands on, if that has a body to put into a scope.
fn profiled(item: TokenStream) -> syn::Result<ItemFn> {
    match syn::parse2(item)? {
        Item::Fn(function) => Ok(function),
        Item::Impl(item) => Err(syn::Error::new(
            item.impl_token.span,
            "`#[profiled]` stands on a function: put it on each method that is to have a name",
        )),
        other => Err(syn::Error::new_spanned(
            other,
            "`#[profiled]` stands on a function that has a body",
        )),
    }
}

/// The static that the function is known by.
fn site(function: &ItemFn, name: Option<&LitStr>) -> TokenStream {
    // So that the line is the function's, not the attribute's.
    let line = quote_spanned!(function.sig.ident.span()=> ::core::line!());
    let (item, name) = match name {
        Some(name) => (None, quote!(|| #name)),
        None => (
            // What a function's path is only a function that stands in it can tell.
            Some(quote! {
                fn __appweight_name() -> &'static str {
                    ::core::any::type_name_of_val(&__appweight_name)
                }
            }),
            quote!(__appweight_name),
        ),
    };
    quote! {
        #item
        static __APPWEIGHT_SITE: ::appweight_agent::__private::Site =
            ::appweight_agent::__private::Site::new(#name, ::core::file!(), #line);
    }
}

/// Tells the compiler what an async block is to return, which it would only guess from the body.
fn output(output: &ReturnType) -> Option<TokenStream> {
    let ReturnType::Type(_, output) = output else {
        return None;
    };
    let text = quote!(#output).to_string();
    let is_opaque = text
        .split(|c: char| !c.is_alphanumeric())
        .any(|word| word == "impl");
    let never = matches!(**output, syn::Type::Never(_));
    (!is_opaque && !never).then(|| {
        quote! {
            if let ::core::option::Option::Some(__appweight_output) =
                ::core::option::Option::<#output>::None
            {
                return __appweight_output;
            }
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn expanded(arguments: &str, function: &str) -> Result<String, String> {
        let (arguments, function) = (arguments.parse().unwrap(), function.parse().unwrap());
        expand(arguments, function)
            .map(|tokens| tokens.to_string())
            .map_err(|error| error.to_string())
    }

    #[test]
    fn what_cannot_be_profiled_is_refused() {
        let refused = |arguments, function| expanded(arguments, function).unwrap_err();
        assert!(refused("", "const fn f() {}").contains("while it is compiled"));
        assert!(refused("", "struct F;").contains("has a body"));
        assert!(refused("", "fn f();").contains("has a body"));
        assert!(refused("", "impl F { fn f() {} }").contains("each method"));
        assert!(refused("\"x\"", "fn f() {}").contains("nothing else"));
        assert!(refused("named = \"x\"", "fn f() {}").contains("nothing else"));
        assert!(refused("name = \"x\", 3", "fn f() {}").contains("nothing else"));
        assert!(refused("name = \"\"", "fn f() {}").contains("empty"));
        assert!(refused("name = 3", "fn f() {}").contains("string"));
    }

    #[test]
    fn what_stands_round_a_body_stays() {
        let text = expanded(
            "name = \"mine\"",
            "/// Told.\n#[inline] pub(crate) async unsafe fn f<T: Copy>(&self, x: T) -> Option<T> where T: Send { Some(x) }",
        )
        .unwrap();
        for part in [
            "Told.",
            "inline",
            "pub (crate) async unsafe fn f < T : Copy >",
            "\"mine\"",
        ] {
            assert!(text.contains(part), "{part} in {text}");
        }
        assert!(
            text.contains("Option :: < Option < T > > :: None"),
            "{text}"
        );
        let opaque = expanded("", "async fn f() -> Vec<impl Copy> { vec![1] }").unwrap();
        assert!(!opaque.contains("None"), "{opaque}");
    }
}
