//! Untrusted text made safe: one line, no control characters, bounded.

/// Titles, names and errors come from strangers. Control characters (the ANSI
/// escape and line ends among them) and the marks that reorder or hide text in a
/// terminal become spaces; runs of spaces become one; the rest is cut at `most`
/// characters.
pub fn clean(text: &str, most: usize) -> String {
    let mut out = String::new();
    let mut length = 0;
    for c in text.chars() {
        let c = if is_unsafe(c) || c.is_whitespace() { ' ' } else { c };
        if c == ' ' && (out.is_empty() || out.ends_with(' ')) {
            continue;
        }
        if length == most {
            break;
        }
        out.push(c);
        length += 1;
    }
    out.truncate(out.trim_end().len());
    out
}

/// Whether a character may act on a terminal or hide what stands beside it.
fn is_unsafe(c: char) -> bool {
    c.is_control()
        || matches!(c,
            '\u{00ad}' | '\u{061c}' | '\u{180e}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}'
            | '\u{2060}'..='\u{206f}' | '\u{feff}' | '\u{fff9}'..='\u{fffb}' | '\u{e0000}'..='\u{e007f}')
}

#[cfg(test)]
mod tests {
    use super::clean;

    #[test]
    fn text_becomes_one_safe_line() {
        assert_eq!(clean("a\u{1b}[31mred\r\nb\0c", 100), "a [31mred b c");
        assert_eq!(clean("\u{202e}evil\u{2066} \u{200b}", 100), "evil");
        assert_eq!(clean("  many   spaces  ", 100), "many spaces");
        assert_eq!(clean("déjà vu", 4), "déjà");
        assert_eq!(clean("{{x}} ${y} '; --", 100), "{{x}} ${y} '; --");
    }
}
