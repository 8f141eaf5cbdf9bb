//! `#[derive(Element)]`: proves that a struct is plain data, then says so.

use super::fields::{base, fields, mentions};
use proc_macro2::TokenStream;
use quote::{quote, quote_spanned};
use syn::spanned::Spanned;
use syn::{DeriveInput, Error, Fields, Result};

pub fn expand(input: &DeriveInput) -> Result<TokenStream> {
    let fields = fields(input)?;
    layout_is_fixed(input)?;
    let no_padding = if input.generics.params.is_empty() {
        no_padding(input, fields)
    } else {
        no_padding_for_any_length(input, fields)?
    };
    let name = &input.ident;
    let text = name.to_string();
    let (generics, arguments, bounds) = input.generics.split_for_impl();
    let kinds = fields.iter().map(|field| {
        let ty = &field.ty;
        quote_spanned! {ty.span()=> (<#ty as ::rankine::Element>::KIND, ::core::mem::size_of::<#ty>()) }
    });
    // Sound because of three things that are checked when this is compiled: every field is an `Element` and so any
    // bit pattern (`KIND` below asks for it), `Copy` is a supertrait of `Pod`, and there is no padding.
    Ok(quote! {
        #no_padding
        #[automatically_derived]
        unsafe impl #generics ::rankine::bytemuck::Zeroable for #name #arguments #bounds {}
        #[automatically_derived]
        unsafe impl #generics ::rankine::bytemuck::Pod for #name #arguments #bounds {}
        #[automatically_derived]
        impl #generics ::rankine::Element for #name #arguments #bounds {
            const KIND: ::rankine::Kind = ::rankine::Kind::of_fields::<Self>(#text, &[#(#kinds),*]);
        }
    })
}

/// `repr(C)` or `repr(transparent)`; with generic lengths nothing that aligns beyond the fields.
fn layout_is_fixed(input: &DeriveInput) -> Result<()> {
    let mut fixed = false;
    for attribute in input.attrs.iter().filter(|attribute| attribute.path().is_ident("repr")) {
        attribute.parse_nested_meta(|meta| {
            fixed |= meta.path.is_ident("C") || meta.path.is_ident("transparent");
            if meta.path.is_ident("align") && !input.generics.params.is_empty() {
                return Err(meta.error("`align` leaves padding for some array lengths: remove it"));
            }
            if meta.input.peek(syn::token::Paren) {
                let content;
                syn::parenthesized!(content in meta.input);
                content.parse::<TokenStream>()?;
            }
            Ok(())
        })?;
    }
    let help = "a message element's fields must lie in the order written: add #[repr(C)] to the struct";
    if fixed { Ok(()) } else { Err(Error::new(input.ident.span(), help)) }
}

fn no_padding(input: &DeriveInput, fields: &Fields) -> TokenStream {
    let name = &input.ident;
    let sizes = fields.iter().map(|field| {
        let ty = &field.ty;
        quote!(::core::mem::size_of::<#ty>())
    });
    // Written as a loop over an array, so that no lint takes offence at `0 + size`.
    let count = fields.len();
    let text = format!(
        "`{name}` has padding, bytes that are no part of any field, and so cannot be a message element: order its \
         fields from the widest to the narrowest, or fill the gap with a field such as `pad: [u8; 4]`"
    );
    quote_spanned! {name.span()=>
        const _: () = {
            let sizes: [::core::primitive::usize; #count] = [#(#sizes),*];
            let (mut total, mut i) = (0, 0);
            while i < #count {
                total += sizes[i];
                i += 1;
            }
            ::core::assert!(::core::mem::size_of::<#name>() == total, #text);
        };
    }
}

/// Where lengths are generic the size is not known yet. Arrays of elements that all align alike never leave a gap.
fn no_padding_for_any_length(input: &DeriveInput, fields: &Fields) -> Result<TokenStream> {
    let name = &input.ident;
    let bases: Vec<_> = fields.iter().map(|field| base(&field.ty)).collect();
    for base in &bases {
        if mentions(input, base) {
            return Err(Error::new(
                base.span(),
                "here a generic parameter may only be the length of an array: whether there is padding cannot be \
                 known otherwise",
            ));
        }
    }
    let Some((first, others)) = bases.split_first() else { return Ok(TokenStream::new()) };
    let text = format!(
        "`{name}` may have padding for some array lengths, and so cannot be a message element: use numbers of one \
         width, or fixed lengths"
    );
    Ok(quote_spanned! {name.span()=>
        const _: () = {
            #(::core::assert!(::core::mem::align_of::<#first>() == ::core::mem::align_of::<#others>(), #text);)*
        };
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use syn::parse_quote;

    fn refused(input: DeriveInput) -> String {
        expand(&input).expect_err("accepted").to_string()
    }

    #[test]
    fn what_cannot_be_sent_is_refused_with_a_way_out() {
        for (input, says) in [
            (parse_quote! { struct A { x: f64 } }, "add #[repr(C)]"),
            (parse_quote! { #[repr(Rust)] struct A { x: f64 } }, "add #[repr(C)]"),
            (parse_quote! { #[repr(packed)] struct A { x: f64 } }, "add #[repr(C)]"),
            (parse_quote! { #[repr(u8)] enum A { B, C } }, "`value as u32`"),
            (parse_quote! { #[repr(C)] union A { x: f64, y: u64 } }, "send a struct"),
            (parse_quote! { #[repr(C)] struct A<'a> { x: &'a f64 } }, "borrows nothing"),
            (parse_quote! { #[repr(C)] struct A { x: &'static f64 } }, "hold a reference"),
            (parse_quote! { #[repr(C)] struct A([*const u8; 2]); }, "hold a pointer"),
            (parse_quote! { #[repr(C)] struct A(fn()); }, "hold a function pointer"),
            (parse_quote! { #[repr(C)] struct A<T> { x: T } }, "name the field types"),
            (parse_quote! { #[repr(C)] struct A<const N: usize> { x: Other<N> } }, "only be the length"),
            (parse_quote! { #[repr(C, align(16))] struct A<const N: usize>([u8; N]); }, "padding"),
        ] {
            let text = refused(input);
            assert!(text.contains(says), "{text:?} should say {says:?}");
        }
    }

    #[test]
    fn plain_structs_are_accepted() {
        let inputs: [DeriveInput; 5] = [
            parse_quote! { #[repr(C)] struct A { x: f64, y: [u8; 8] } },
            parse_quote! { #[repr(transparent)] struct A(f64); },
            parse_quote! { #[repr(C, packed(2))] struct A { x: u16, y: f64 } },
            parse_quote! { #[repr(C)] #[repr(align(16))] struct A { x: f64, y: f64 } },
            parse_quote! { #[repr(C)] struct A<const N: usize, const M: usize> { x: [[f64; N]; M], y: i64 } },
        ];
        for input in inputs {
            let code = expand(&input).expect("refused").to_string();
            assert!(code.contains("unsafe impl") && code.contains("assert !"), "{code}");
        }
    }
}
