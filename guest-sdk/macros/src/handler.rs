//! `#[handler]`: refuses what cannot be a handler, and writes the glue for what can.

use proc_macro2::TokenStream;
use quote::{quote, quote_spanned};
use syn::{Error, Result, ReturnType, Signature, Type, spanned::Spanned};

use crate::function::{self, Role};

const ROLE: Role = Role {
    attribute: "#[handler]",
    what: "handler",
    example: "Json<Order>",
    no_options: "name, route, price and limits of an API are in its plugin.toml",
};

pub(crate) fn glue(attribute: &TokenStream, item: &TokenStream) -> Result<TokenStream> {
    let function = function::callable(&ROLE, attribute, item)?;
    let signature = &function.sig;
    let (context, input) = arguments(signature)?;

    let name = &signature.ident;
    let input = input.map(|ty| quote_spanned!(ty.span()=> <#ty as ::ripost_sdk::FromRequest>::from_request(request)?));
    let context = context.then(|| quote!(ctx,));
    let answer = match &signature.output {
        ReturnType::Default => quote!(::ripost_sdk::IntoResponse::into_response),
        ReturnType::Type(_, ty) => quote_spanned!(ty.span()=> <#ty as ::ripost_sdk::IntoResponse>::into_response),
    };
    let only_one = function::only_one();
    Ok(quote! {
        #only_one

        const _: () = {
            #[allow(unused_variables, reason = "a handler need not look at context or body")]
            fn __ripost_call(
                ctx: &::ripost_sdk::Context,
                request: ::ripost_sdk::Request,
            ) -> ::core::result::Result<::ripost_sdk::Response, ::ripost_sdk::Failure> {
                #answer(#name(#context #input))
            }

            // Checked, and used, on every target; exported only where the export's name links.
            let _ = __ripost_call;

            #[cfg(target_arch = "wasm32")]
            const _: () = {
                struct Component;
                impl ::ripost_sdk::__rt::Guest for Component {
                    fn handle(
                        request: ::ripost_sdk::__rt::types::Request,
                    ) -> ::core::result::Result<
                        ::ripost_sdk::__rt::types::Response,
                        ::ripost_sdk::__rt::types::Failure,
                    > {
                        ::ripost_sdk::__rt::handle(request, __ripost_call)
                    }
                }
                ::ripost_sdk::__rt::export_handler!(Component with_types_in ::ripost_sdk::__rt::handler);
            };
        };
    })
}

/// Whether the function takes the context, and as what it takes the request.
fn arguments(signature: &Signature) -> Result<(bool, Option<&Type>)> {
    let types = function::argument_types(&ROLE, signature)?;
    match types.as_slice() {
        [] => Ok((false, None)),
        // Nothing that is read from a request is a reference: it is the context, or a mistake that rustc explains.
        [Type::Reference(_)] => Ok((true, None)),
        [input] => Ok((false, Some(input))),
        [Type::Reference(_), input] => Ok((true, Some(input))),
        [_, context @ Type::Reference(_)] => {
            Err(Error::new_spanned(context, "the context comes first: `fn handler(ctx: &Context, input: …)`"))
        }
        [context, _] => Err(Error::new_spanned(
            context,
            "a handler with two arguments takes the context first, by reference: `ctx: &Context`",
        )),
        [_, _, third, ..] => Err(Error::new_spanned(
            third,
            "a handler takes `&Context` and one input: headers, path and query are in `ctx.request()`",
        )),
    }
}
