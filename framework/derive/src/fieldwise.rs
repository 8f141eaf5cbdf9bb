//! `#[derive(Number)]`, `#[derive(Ordered)]`, `#[derive(Bits)]`: arithmetic on a struct, field by field.

use super::fields::fields;
use proc_macro2::TokenStream;
use quote::{format_ident, quote, quote_spanned};
use syn::spanned::Spanned;
use syn::{DeriveInput, Result};

/// A trait of rankine and its methods from `self` and so many others to `Self`.
pub struct Trait {
    name: &'static str,
    methods: &'static [(&'static str, usize)],
}

pub const NUMBER: Trait = Trait { name: "Number", methods: &[("plus", 1), ("times", 1)] };
pub const ORDERED: Trait = Trait { name: "Ordered", methods: &[("smaller", 1), ("larger", 1)] };
pub const BITS: Trait = Trait { name: "Bits", methods: &[("and", 1), ("or", 1), ("xor", 1), ("truth", 0)] };

pub fn expand(input: &DeriveInput, of: &Trait) -> Result<TokenStream> {
    let fields = fields(input)?;
    let name = &input.ident;
    let of_name = format_ident!("{}", of.name);
    let (generics, arguments, bounds) = input.generics.split_for_impl();
    let methods = of.methods.iter().map(|&(method, others)| {
        let method = format_ident!("{method}");
        let parameter = (others > 0).then(|| quote!(other: Self));
        let values = fields.members().zip(fields).map(|(member, field)| {
            let ty = &field.ty;
            let argument = (others > 0).then(|| quote!(other.#member));
            quote_spanned! {ty.span()=>
                #member: <#ty as ::rankine::#of_name>::#method(self.#member, #argument)
            }
        });
        quote! {
            #[inline]
            #[allow(unused_variables, reason = "a struct without fields")]
            fn #method(self, #parameter) -> Self {
                Self { #(#values),* }
            }
        }
    });
    Ok(quote! {
        #[automatically_derived]
        impl #generics ::rankine::#of_name for #name #arguments #bounds {
            #(#methods)*
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use syn::parse_quote;

    #[test]
    fn every_method_covers_every_field() {
        let input = parse_quote! { #[repr(C)] struct A { x: f64, n: i64 } };
        for of in [NUMBER, ORDERED, BITS] {
            let code = expand(&input, &of).expect("refused").to_string();
            for (method, _) in of.methods {
                assert_eq!(code.matches(&format!(":: {method} (self .")).count(), 2, "{code}");
            }
        }
    }

    #[test]
    fn enums_have_no_arithmetic() {
        let input = parse_quote! { enum A { B, C } };
        assert!(expand(&input, &NUMBER).is_err());
    }
}
