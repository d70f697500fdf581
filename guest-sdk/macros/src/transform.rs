//! `#[request_transform]`, `#[response_transform]`, `#[webhook_transform]`: refuse what cannot be one, and write the glue
//! for what can.

use proc_macro2::TokenStream;
use quote::{format_ident, quote, quote_spanned};
use syn::{Error, Result, ReturnType, Signature, Type, spanned::Spanned};

use crate::function::{self, Role};

/// What a transform rewrites.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Request,
    Response,
    Webhook,
}

const NO_OPTIONS: &str = "which API a transform is for, and in what order, is in its plugin.toml";

impl Kind {
    fn role(self) -> Role {
        let (attribute, what, example) = match self {
            Kind::Request => ("#[request_transform]", "request transform", "Json<Order>"),
            Kind::Response => ("#[response_transform]", "response transform", "Json<Answer>"),
            Kind::Webhook => ("#[webhook_transform]", "webhook transform", "Json<Payload>"),
        };
        Role { attribute, what, example, no_options: NO_OPTIONS }
    }

    fn message(self) -> TokenStream {
        match self {
            Kind::Request => quote!(::ripost_sdk::Request),
            Kind::Response => quote!(::ripost_sdk::Response),
            Kind::Webhook => quote!(::ripost_sdk::Webhook),
        }
    }
}

pub(crate) fn glue(kind: Kind, attribute: &TokenStream, item: &TokenStream) -> Result<TokenStream> {
    let function = function::callable(&kind.role(), attribute, item)?;
    let signature = &function.sig;
    let (references, input) = arguments(kind, signature)?;

    let (name, message) = (&signature.ident, kind.message());
    let input = quote_spanned! {input.span()=>
        <#input as ::ripost_sdk::FromMessage<#message>>::from_message(message)?
    };
    let references = references.into_iter().map(|ty| match kind {
        Kind::Response => quote_spanned!(ty.span()=> <#ty as ::ripost_sdk::Beside>::beside(log, request),),
        // No other is at hand, and rustc explains that.
        Kind::Request | Kind::Webhook => quote_spanned!(ty.span()=> log,),
    });
    let output = match &signature.output {
        ReturnType::Default => quote!(()),
        ReturnType::Type(_, ty) => quote!(#ty),
    };
    let into = quote_spanned! {output.span()=> <#output as ::ripost_sdk::IntoMessage<#message>>::into_message };
    let request = (kind == Kind::Response).then(|| quote!(request: &::ripost_sdk::Request,));
    let only_one = function::only_one();
    let export = export(kind);
    Ok(quote! {
        #only_one

        const _: () = {
            #[allow(unused_variables, reason = "a transform need not look at everything")]
            fn __ripost_call(
                log: &::ripost_sdk::Log,
                #request
                message: #message,
            ) -> ::core::result::Result<#message, ::ripost_sdk::Failure> {
                let rest = ::ripost_sdk::Message::rest(&message);
                #into(#name(#(#references)* #input), rest)
            }

            // Checked, and used, on every target; exported only where the export's name links.
            let _ = __ripost_call;

            #[cfg(target_arch = "wasm32")]
            const _: () = {
                struct Component;
                #export
            };
        };
    })
}

fn export(kind: Kind) -> TokenStream {
    let (interface, params, made, world, run, passed) = match kind {
        Kind::Request => (
            quote!(transform_request),
            quote!(request: ::ripost_sdk::__rt::types::Request),
            quote!(::ripost_sdk::__rt::transform_request::Rewrite),
            format_ident!("request_transform"),
            quote!(rewrite_request),
            quote!(request),
        ),
        Kind::Response => (
            quote!(transform_response),
            quote!(request: ::ripost_sdk::__rt::types::Request, response: ::ripost_sdk::__rt::types::Response),
            quote!(::ripost_sdk::__rt::types::Response),
            format_ident!("response_transform"),
            quote!(apply_response),
            quote!(request, response),
        ),
        Kind::Webhook => (
            quote!(transform_webhook),
            quote!(webhook: ::ripost_sdk::__rt::transform_webhook::Webhook),
            quote!(::ripost_sdk::__rt::transform_webhook::Webhook),
            format_ident!("webhook_transform"),
            quote!(apply_webhook),
            quote!(webhook),
        ),
    };
    let macro_name = format_ident!("export_{world}");
    quote! {
        impl ::ripost_sdk::__rt::#interface::Guest for Component {
            fn apply(#params) -> ::core::result::Result<#made, ::ripost_sdk::__rt::types::Problem> {
                ::ripost_sdk::__rt::#run(#passed, __ripost_call)
            }
        }
        ::ripost_sdk::__rt::#macro_name!(Component with_types_in ::ripost_sdk::__rt::#world);
    }
}

/// What it takes by reference, and what it takes the message as.
fn arguments(kind: Kind, signature: &Signature) -> Result<(Vec<&Type>, &Type)> {
    let role = kind.role();
    let what = role.what;
    let types = function::argument_types(&role, signature)?;
    let takes = match kind {
        Kind::Request => "`log: &Log`, if it wants one, and then `Request` or `Json<T>`",
        Kind::Response => "`log: &Log` and `request: &Request`, as it wants, and then `Response` or `Json<T>`",
        Kind::Webhook => "`log: &Log`, if it wants one, and then `Webhook` or `Json<T>`",
    };
    let refused = |at: &dyn quote::ToTokens| Err(Error::new_spanned(at, format!("a {what} takes {takes}")));
    let Some((input, before)) = types.split_last() else {
        return refused(&signature.ident);
    };
    if let Type::Reference(_) = input {
        return refused(input);
    }
    let references_max = if kind == Kind::Response { 2 } else { 1 };
    let mut references = Vec::new();
    for ty in before {
        match ty {
            Type::Reference(reference) if references.len() < references_max => references.push(&*reference.elem),
            other => return refused(other),
        }
    }
    Ok((references, input))
}
