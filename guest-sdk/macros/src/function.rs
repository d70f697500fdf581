//! What any function of a component must be, and the words that refuse another.

use proc_macro2::TokenStream;
use quote::quote;
use syn::{Error, FnArg, GenericParam, ItemFn, PatType, Result, Signature, Type};

/// What a function is to be, for the words.
pub(crate) struct Role {
    /// `#[handler]`.
    pub(crate) attribute: &'static str,
    /// `handler`.
    pub(crate) what: &'static str,
    /// A type that it could take.
    pub(crate) example: &'static str,
    /// Where what somebody looked for in options is.
    pub(crate) no_options: &'static str,
}

/// The item itself comes back even when it is refused, so that the only error is the one that says why.
pub(crate) fn expand(item: &TokenStream, glue: Result<TokenStream>) -> TokenStream {
    let glue = glue.unwrap_or_else(Error::into_compile_error);
    quote! { #item #glue }
}

/// The function, if the host could call it.
pub(crate) fn callable(role: &Role, attribute: &TokenStream, item: &TokenStream) -> Result<ItemFn> {
    if !attribute.is_empty() {
        let Role { attribute: name, no_options, .. } = role;
        return Err(Error::new_spanned(attribute, format!("{name} has no options: {no_options}")));
    }
    let function: ItemFn = syn::parse2(item.clone())
        .map_err(|_| Error::new_spanned(item, format!("{} goes on a function with a body", role.attribute)))?;
    refuse_what_the_host_cannot_call(role, &function.sig)?;
    Ok(function)
}

/// Defined by every macro: a component of two exports would be refused by the host.
pub(crate) fn only_one() -> TokenStream {
    quote! {
        #[doc(hidden)]
        #[allow(dead_code, reason = "only there to be defined twice when a crate has two of them")]
        const RIPOST_A_CRATE_HAS_ONE_HANDLER_OR_TRANSFORM: () = ();
    }
}

/// The types of its arguments, none of which is `self` or generic.
pub(crate) fn argument_types<'a>(role: &Role, signature: &'a Signature) -> Result<Vec<&'a Type>> {
    let Role { what, example, .. } = role;
    let ty = |argument: &'a FnArg| match argument {
        FnArg::Receiver(receiver) => Err(Error::new_spanned(
            receiver,
            format!(
                "a {what} cannot be a method: each request has a fresh instance, so there is no `self` to call it on; \
                 make it a free function"
            ),
        )),
        FnArg::Typed(PatType { ty, .. }) => match &**ty {
            Type::ImplTrait(of) => {
                Err(Error::new_spanned(of, format!("a {what} cannot be generic: name the type, e.g. `{example}`")))
            }
            ty => Ok(ty),
        },
    };
    signature.inputs.iter().map(ty).collect()
}

fn refuse_what_the_host_cannot_call(role: &Role, signature: &Signature) -> Result<()> {
    let what = role.what;
    if let Some(asyncness) = &signature.asyncness {
        return Err(Error::new_spanned(
            asyncness,
            format!(
                "a {what} cannot be `async`: an instance runs one request and nothing beside it, so there is nothing to \
             await; call the host directly"
            ),
        ));
    }
    if let Some(unsafety) = &signature.unsafety {
        return Err(Error::new_spanned(
            unsafety,
            format!("a {what} cannot be `unsafe`: the host's call has no way to keep its promises"),
        ));
    }
    if let Some(abi) = &signature.abi {
        return Err(Error::new_spanned(
            abi,
            format!("a {what} is a plain Rust function: {} writes the export", role.attribute),
        ));
    }
    if let Some(variadic) = &signature.variadic {
        return Err(Error::new_spanned(variadic, format!("a {what} cannot be variadic")));
    }
    let generic = signature.generics.params.iter().find(|param| !matches!(param, GenericParam::Lifetime(_)));
    if let Some(generic) = generic {
        return Err(Error::new_spanned(
            generic,
            format!(
                "a {what} cannot be generic: a component exports one function, and nobody could say which types it is for"
            ),
        ));
    }
    Ok(())
}
