//! `#[derive(rankine::Element)]` and its arithmetic for plain structs.
//!
//! Used through `rankine`, which exports each derive beside the trait of the same name; what the traits mean is
//! written there. This crate only writes their implementations, and refuses what cannot have one.

mod element;
mod fields;
mod fieldwise;

use proc_macro::TokenStream;
use syn::{DeriveInput, parse_macro_input};

/// Implements `rankine::Element` for a `#[repr(C)]` or `#[repr(transparent)]` struct: all fields are elements, and
/// there is no padding between or after them. Both are checked when it is compiled.
#[proc_macro_derive(Element)]
pub fn element(input: TokenStream) -> TokenStream {
    written(element::expand(&parse_macro_input!(input as DeriveInput)))
}

/// Implements `rankine::Number` field by field, so that `Sum` and `Prod` work on the struct.
#[proc_macro_derive(Number)]
pub fn number(input: TokenStream) -> TokenStream {
    written(fieldwise::expand(&parse_macro_input!(input as DeriveInput), &fieldwise::NUMBER))
}

/// Implements `rankine::Ordered` field by field, so that `Min` and `Max` work on the struct.
#[proc_macro_derive(Ordered)]
pub fn ordered(input: TokenStream) -> TokenStream {
    written(fieldwise::expand(&parse_macro_input!(input as DeriveInput), &fieldwise::ORDERED))
}

/// Implements `rankine::Bits` field by field, so that the bitwise and logical operators work on the struct.
#[proc_macro_derive(Bits)]
pub fn bits(input: TokenStream) -> TokenStream {
    written(fieldwise::expand(&parse_macro_input!(input as DeriveInput), &fieldwise::BITS))
}

fn written(expanded: syn::Result<proc_macro2::TokenStream>) -> TokenStream {
    expanded.unwrap_or_else(syn::Error::into_compile_error).into()
}
