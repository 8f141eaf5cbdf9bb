//! The little HTML that a report needs, written so that it is well-formed XML, too: text, tables, sections. Whatever comes from a run is
//! escaped here.

/// Text as it stands in a page, attributes included. What no page may hold, such as control characters, becomes `�`.
pub fn escape(text: &str) -> String {
    let mut safe = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => safe.push_str("&amp;"),
            '<' => safe.push_str("&lt;"),
            '>' => safe.push_str("&gt;"),
            '"' => safe.push_str("&quot;"),
            '\'' => safe.push_str("&#39;"),
            '\n' | '\t' => safe.push(c),
            c if c.is_control() || matches!(c, '\u{fffe}' | '\u{ffff}') => safe.push('\u{fffd}'),
            // Marks that turn the order of what follows.
            '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' => safe.push('\u{fffd}'),
            c => safe.push(c),
        }
    }
    safe
}

/// A section with its heading; nothing, where there is nothing to say.
pub fn section(title: &str, content: &str) -> String {
    if content.is_empty() {
        return String::new();
    }
    format!("<section>\n<h2>{}</h2>\n{content}</section>\n", escape(title))
}

/// A table of names and values.
pub fn pairs(rows: &[(String, String)]) -> String {
    if rows.is_empty() {
        return String::new();
    }
    let line = |(name, value): &(String, String)| {
        format!("<tr><th scope=\"row\">{}</th><td>{}</td></tr>\n", escape(name), escape(value))
    };
    format!("<table>\n{}</table>\n", rows.iter().map(line).collect::<String>())
}

/// A table with a head; the first column names the row, the others are numbers.
pub fn table(head: &[&str], rows: &[Vec<String>]) -> String {
    let cells = |row: &Vec<String>| {
        let cell = |(i, word): (usize, &String)| match i {
            0 => format!("<th scope=\"row\">{}</th>", escape(word)),
            _ => format!("<td class=\"n\">{}</td>", escape(word)),
        };
        format!("<tr>{}</tr>\n", row.iter().enumerate().map(cell).collect::<String>())
    };
    let head: String = head.iter().map(|word| format!("<th scope=\"col\">{}</th>", escape(word))).collect();
    format!("<table>\n<tr>{head}</tr>\n{}</table>\n", rows.iter().map(cells).collect::<String>())
}

/// A paragraph.
pub fn paragraph(text: &str) -> String {
    format!("<p>{}</p>\n", escape(text))
}

/// The whole page: it loads nothing and runs nothing, and forbids the browser to.
pub fn page(title: &str, body: &str) -> String {
    format!(
        "<!DOCTYPE html>\n<html lang=\"en\" xmlns=\"http://www.w3.org/1999/xhtml\">\n<head>\n<meta charset=\"utf-8\" />\n\
         <meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; img-src data:; style-src 'unsafe-inline'\" />\n\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\" />\n<title>{}</title>\n\
         <style>\n{STYLE}</style>\n</head>\n<body>\n<main>\n{body}</main>\n</body>\n</html>\n",
        escape(title)
    )
}

const STYLE: &str = "\
body { font: 15px/1.45 system-ui, sans-serif; margin: 0; color: #1b1f24; background: #fff; }
main { max-width: 60rem; margin: 0 auto; padding: 1.5rem; }
h1 { font-size: 1.5rem; margin: 0 0 .3rem; overflow-wrap: anywhere; }
h2 { font-size: 1.1rem; margin: 2rem 0 .5rem; border-bottom: 1px solid #d0d7de; padding-bottom: .2rem; }
table { border-collapse: collapse; margin: .4rem 0; }
th, td { text-align: left; vertical-align: top; padding: .15rem .9rem .15rem 0; font-weight: normal; overflow-wrap: anywhere; }
th { color: #57606a; white-space: nowrap; }
.n { text-align: right; font-variant-numeric: tabular-nums; white-space: nowrap; }
.state { display: inline-block; padding: .1rem .6rem; border-radius: 1rem; color: #fff; background: #57606a; }
.good { background: #1a7f37; } .bad { background: #cf222e; } .going { background: #0969da; }
pre { background: #f6f8fa; padding: .7rem; overflow-x: auto; font-size: 13px; }
svg { display: block; max-width: 100%; height: auto; font: 12px system-ui, sans-serif; }
img { max-width: 100%; image-rendering: pixelated; }
figure { margin: .8rem 0; } figcaption { color: #57606a; }
@media print { main { max-width: none; } }
";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_of_a_run_is_markup() {
        assert_eq!(
            escape("<a href='x'>\"&\u{1}\u{202e}</a>\n"),
            "&lt;a href=&#39;x&#39;&gt;&quot;&amp;\u{fffd}\u{fffd}&lt;/a&gt;\n"
        );
        assert_eq!(pairs(&[("<b>".to_string(), "</td>".to_string())]).matches("</td>").count(), 1);
        assert_eq!(section("x", ""), "");
    }
}
