//! `#[handler]`: refuses what cannot be a handler, and writes the glue for what can.

use proc_macro2::TokenStream;
use quote::{quote, quote_spanned};
use syn::{Error, FnArg, GenericParam, ItemFn, PatType, Result, ReturnType, Signature, Type, spanned::Spanned};

/// The item itself comes back even when it is refused, so that the only error is the one that says why.
pub(crate) fn expand(attribute: TokenStream, item: TokenStream) -> TokenStream {
    match glue(&attribute, &item) {
        Ok(glue) => quote! { #item #glue },
        Err(error) => {
            let error = error.into_compile_error();
            quote! { #item #error }
        }
    }
}

fn glue(attribute: &TokenStream, item: &TokenStream) -> Result<TokenStream> {
    if !attribute.is_empty() {
        return Err(Error::new_spanned(
            attribute,
            "#[handler] has no options: name, route, price and limits of an API are in its plugin.toml",
        ));
    }
    let function: ItemFn =
        syn::parse2(item.clone()).map_err(|_| Error::new_spanned(item, "#[handler] goes on a function with a body"))?;
    let signature = &function.sig;
    refuse_what_the_host_cannot_call(signature)?;
    let (context, input) = arguments(signature)?;

    let name = &signature.ident;
    let input = input.map(|ty| quote_spanned!(ty.span()=> <#ty as ::ripost_sdk::FromRequest>::from_request(request)?));
    let context = context.then(|| quote!(ctx,));
    let answer = match &signature.output {
        ReturnType::Default => quote!(::ripost_sdk::IntoResponse::into_response),
        ReturnType::Type(_, ty) => quote_spanned!(ty.span()=> <#ty as ::ripost_sdk::IntoResponse>::into_response),
    };
    Ok(quote! {
        #[doc(hidden)]
        #[allow(dead_code, reason = "only there to be defined twice when a crate has two handlers")]
        const RIPOST_A_CRATE_HAS_ONE_HANDLER: () = ();

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

fn refuse_what_the_host_cannot_call(signature: &Signature) -> Result<()> {
    if let Some(asyncness) = &signature.asyncness {
        return Err(Error::new_spanned(
            asyncness,
            "a handler cannot be `async`: an instance runs one request and nothing beside it, so there is nothing to \
             await; call the host directly",
        ));
    }
    if let Some(unsafety) = &signature.unsafety {
        return Err(Error::new_spanned(
            unsafety,
            "a handler cannot be `unsafe`: the host's call has no way to keep its promises",
        ));
    }
    if let Some(abi) = &signature.abi {
        return Err(Error::new_spanned(abi, "a handler is a plain Rust function: #[handler] writes the export"));
    }
    if let Some(variadic) = &signature.variadic {
        return Err(Error::new_spanned(variadic, "a handler cannot be variadic"));
    }
    let generic = signature.generics.params.iter().find(|param| !matches!(param, GenericParam::Lifetime(_)));
    if let Some(generic) = generic {
        return Err(Error::new_spanned(
            generic,
            "a handler cannot be generic: a component exports one function, and nobody could say which types it is for",
        ));
    }
    Ok(())
}

/// Whether the function takes the context, and as what it takes the request.
fn arguments(signature: &Signature) -> Result<(bool, Option<&Type>)> {
    let mut types = Vec::new();
    for argument in &signature.inputs {
        match argument {
            FnArg::Receiver(receiver) => {
                return Err(Error::new_spanned(
                    receiver,
                    "a handler cannot be a method: each request has a fresh instance, so there is no `self` to call it \
                     on; make it a free function",
                ));
            }
            FnArg::Typed(PatType { ty, .. }) => match &**ty {
                Type::ImplTrait(of) => {
                    return Err(Error::new_spanned(
                        of,
                        "a handler cannot be generic: name the type, e.g. `Json<Order>`",
                    ));
                }
                ty => types.push(ty),
            },
        }
    }
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
