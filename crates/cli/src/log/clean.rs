//! What is written to the log: one line for an event, whatever a stranger put into it.

use std::{
    fmt::Write as _,
    io::{Result, Write},
};

/// Writes whole events, each of which ends with a line break, without any other control character:
/// names and errors come from customers' directories and from other servers, and must not make lines
/// or colours of their own.
pub(crate) struct Clean<W> {
    pub(crate) to: W,
    /// Whether an event is an object of JSON, whose escapes are others.
    pub(crate) is_json: bool,
}

impl<W: Write> Write for Clean<W> {
    fn write(&mut self, event: &[u8]) -> Result<usize> {
        let text = String::from_utf8_lossy(event);
        let line = text.strip_suffix('\n').unwrap_or(&text);
        let mut clean = String::with_capacity(text.len());
        for c in line.chars() {
            match c.is_control() || is_invisible(c) {
                // All of them are below U+10000, so that four digits are enough for JSON.
                true if self.is_json => {
                    let _ = write!(clean, "\\u{:04x}", u32::from(c));
                }
                true => clean.extend(c.escape_unicode()),
                false => clean.push(c),
            }
        }
        clean.push('\n');
        self.to.write_all(clean.as_bytes())?;
        Ok(event.len())
    }

    fn flush(&mut self) -> Result<()> {
        self.to.flush()
    }
}

/// Characters that change how a line reads and are no control characters: line and paragraph
/// separators, and marks of direction.
fn is_invisible(c: char) -> bool {
    matches!(c, '\u{2028}' | '\u{2029}' | '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_event_is_one_line() {
        let mut written = vec![];
        let mut clean = Clean {
            to: &mut written,
            is_json: false,
        };
        let event = "refused: a\r\n2026-01-01 INFO forged\x1b[31m \u{202e}gpj\u{2028}x ü\n";
        assert_eq!(clean.write(event.as_bytes()).unwrap(), event.len());
        let line = String::from_utf8(written).unwrap();
        assert_eq!(line.matches('\n').count(), 1);
        assert!(line.ends_with('\n') && line.contains("ü"));
        assert!(
            !line
                .trim_end()
                .chars()
                .any(|c| c.is_control() || is_invisible(c)),
            "{line}"
        );
        assert!(line.contains("\\u{1b}"));
    }

    #[test]
    fn an_event_of_json_stays_json() {
        let mut written = vec![];
        let event = "{\"name\":\"\u{202e}gpj\u{2028}\u{85} \\n ü\"}\n";
        let mut clean = Clean {
            to: &mut written,
            is_json: true,
        };
        assert_eq!(clean.write(event.as_bytes()).unwrap(), event.len());
        let line = String::from_utf8(written).unwrap();
        assert!(
            !line
                .trim_end()
                .chars()
                .any(|c| c.is_control() || is_invisible(c))
        );
        let read: serde_json::Value = serde_json::from_str(&line).unwrap();
        assert_eq!(read["name"], "\u{202e}gpj\u{2028}\u{85} \n ü");
    }
}
