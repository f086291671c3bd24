//! The attribute `#[profiled]`. Use it through `appweight-agent`, which exports and explains it.

mod profiled;

use proc_macro::TokenStream;

/// Makes a function a scope of its own in profiles; see `appweight_agent::profiled`.
#[proc_macro_attribute]
pub fn profiled(arguments: TokenStream, function: TokenStream) -> TokenStream {
    profiled::expand(arguments.into(), function.into())
        .unwrap_or_else(syn::Error::into_compile_error)
        .into()
}
