//! What the derives ask of a struct before they write anything: its fields, and that it is one.

use proc_macro2::{TokenStream, TokenTree};
use quote::ToTokens;
use syn::spanned::Spanned;
use syn::{Data, DeriveInput, Error, Fields, GenericParam, Result, Type};

/// The fields of a struct; an error for anything else, and for what no element can hold.
pub fn fields(input: &DeriveInput) -> Result<&Fields> {
    let fields = match &input.data {
        Data::Struct(data) => &data.fields,
        Data::Enum(data) => {
            return Err(Error::new(
                data.enum_token.span,
                "an enum cannot be a message element, since not every bit pattern is one of its values: send its \
                 number (`value as u32`) and convert back, or send the enum itself with `send_value` (serde)",
            ));
        }
        Data::Union(data) => {
            return Err(Error::new(
                data.union_token.span,
                "a union cannot be a message element, since nobody knows which of its bytes are set: send a struct",
            ));
        }
    };
    for param in &input.generics.params {
        match param {
            GenericParam::Const(_) => {}
            GenericParam::Lifetime(_) => {
                return Err(Error::new(
                    param.span(),
                    "a message element borrows nothing, since it may arrive in another process: own the data",
                ));
            }
            GenericParam::Type(_) => {
                return Err(Error::new(
                    param.span(),
                    "whether there is padding cannot be known for every type: name the field types (array lengths \
                     may be generic)",
                ));
            }
        }
    }
    for field in fields {
        address(&field.ty)?;
    }
    Ok(fields)
}

/// An error for types that are addresses, also in arrays.
fn address(ty: &Type) -> Result<()> {
    let what = match ty {
        Type::Reference(_) => "a reference",
        Type::Ptr(_) => "a pointer",
        Type::BareFn(_) => "a function pointer",
        Type::Array(array) => return address(&array.elem),
        Type::Paren(inner) => return address(&inner.elem),
        Type::Group(inner) => return address(&inner.elem),
        _ => return Ok(()),
    };
    let help = "it means nothing in another process: store the value, or an index";
    Err(Error::new(ty.span(), format!("a message element cannot hold {what}: {help}")))
}

/// The element type of nested arrays.
pub fn base(ty: &Type) -> &Type {
    match ty {
        Type::Array(array) => base(&array.elem),
        Type::Paren(inner) => base(&inner.elem),
        Type::Group(inner) => base(&inner.elem),
        other => other,
    }
}

/// Whether one of the struct's parameters is named anywhere in the tokens.
pub fn mentions(input: &DeriveInput, tokens: &impl ToTokens) -> bool {
    fn any(tokens: TokenStream, names: &[String]) -> bool {
        tokens.into_iter().any(|tree| match tree {
            TokenTree::Ident(ident) => names.contains(&ident.to_string()),
            TokenTree::Group(group) => any(group.stream(), names),
            _ => false,
        })
    }
    let names: Vec<String> = input.generics.const_params().map(|param| param.ident.to_string()).collect();
    any(tokens.to_token_stream(), &names)
}
