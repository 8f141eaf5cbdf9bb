//! `rankine man`: manual pages, one for each verb and each kernel.

use crate::tree::tree;
use clap::Command;
use clap_mangen::Man;
use rankine::output::files::{make_folder, write_text};
use rankine::run::{nearest, show};
use rankine::{Error, Result};
use std::path::Path;

/// Shows the page of a verb (`run heat3d`, nothing for `rankine` itself), or writes all of them into a folder.
///
/// # Errors
/// A verb that does not exist; a folder that cannot be written.
pub fn man(words: &[String], out: Option<&Path>) -> Result<()> {
    let mut tree = tree()?;
    tree.build();
    let Some(folder) = out else {
        let mut page = &tree;
        for word in words {
            page = page.find_subcommand(word).ok_or_else(|| {
                let near = nearest(word, page.get_subcommands().map(Command::get_name));
                Error::usage(format!("there is no manual page of `{word}`")).help(match near {
                    Some(near) => format!("did you mean {near}?"),
                    None => "`rankine man` shows the first page, which names the others".to_string(),
                })
            })?;
        }
        show(&text(page)?);
        return Ok(());
    };
    make_folder(folder)?;
    let mut pages = Vec::new();
    gather(&tree, &mut pages);
    for page in &pages {
        write_text(folder.join(format!("{}.1", name(page))), &text(page)?)?;
    }
    show(&format!(
        "{} pages in {}; read one with `man -l FILE`, or put them into a folder man1 of MANPATH\n",
        pages.len(),
        folder.display()
    ));
    Ok(())
}

/// The page of a command and those below. A kernel has its page with `run`; `submit` takes the same flags and its own.
fn gather<'c>(command: &'c Command, pages: &mut Vec<&'c Command>) {
    pages.push(command);
    if name(command) != "rankine-submit" {
        command.get_subcommands().for_each(|below| gather(below, pages));
    }
}

fn name(command: &Command) -> &str {
    command.get_display_name().unwrap_or_else(|| command.get_name())
}

fn text(command: &Command) -> Result<String> {
    let mut text = Vec::new();
    let man = Man::new(command.clone());
    let write = |text: &mut Vec<u8>| {
        man.render_name_section(text)?;
        man.render_synopsis_section(text)?;
        man.render_description_section(text)?;
        man.render_options_section(text)?;
        if command.has_subcommands() {
            man.render_subcommands_section(text)?;
        }
        man.render_extra_section(text)
    };
    write(&mut text).map_err(|error| Error::io(format!("cannot write the manual page: {error}")))?;
    Ok(format!(
        ".ie \\n(.g .ds Aq \\(aq\n.el .ds Aq '\n.TH \"{}\" 1 \"\" \"rankine {}\" \"Rankine\"\n{}",
        name(command),
        env!("CARGO_PKG_VERSION"),
        tidy(&String::from_utf8_lossy(&text))
    ))
}

/// In ASCII, which every troff reads, and without line breaks where there is space already.
fn tidy(text: &str) -> String {
    let mut tidy = String::new();
    let mut lines = text.lines().peekable();
    let mut spaced = false;
    while let Some(line) = lines.next() {
        let space = |line: &str| matches!(line, "" | ".sp");
        let spare = line == ".br" && (spaced || lines.peek().is_some_and(|next| space(next)));
        spaced = space(line) || (spaced && spare);
        if spare {
            continue;
        }
        for character in line.trim_end().chars() {
            match character.is_ascii() {
                true => tidy.push(character),
                false => tidy.push_str(&format!("\\[u{:04X}]", u32::from(character))),
            }
        }
        tidy.push('\n');
    }
    tidy
}
