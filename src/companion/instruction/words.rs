//! Words of a Dockerfile: quotes, backslashes and variables, as docker reads them (moby's frontend/dockerfile/shell).

use std::iter::Peekable;
use std::str::Chars;

use anyhow::{Result, bail, ensure};

/// The words of a text, parted by blanks outside of quotes.
pub(super) fn split(text: &str, env: &[String]) -> Result<Vec<String>> {
    let mut words = Vec::new();
    Reader { letters: text.chars().peekable(), env }.read(true, &mut words)?;
    Ok(words.into_iter().filter(|word| !word.is_empty()).collect())
}

/// The text as one word.
pub(super) fn expanded(text: &str, env: &[String]) -> Result<String> {
    let mut words = Vec::new();
    Reader { letters: text.chars().peekable(), env }.read(false, &mut words)?;
    Ok(words.concat())
}

struct Reader<'a> {
    letters: Peekable<Chars<'a>>,
    env: &'a [String],
}

impl Reader<'_> {
    fn read(&mut self, parts: bool, words: &mut Vec<String>) -> Result<()> {
        let mut word = String::new();
        let mut quote = None;
        while let Some(letter) = self.letters.next() {
            match (letter, quote) {
                ('\'', Some('\'')) | ('"', Some('"')) => quote = None,
                (letter, Some('\'')) => word.push(letter),
                ('\\', None) => word.extend(self.letters.next()),
                ('\\', _) => {
                    let is_special = self.letters.peek().is_some_and(|next| matches!(next, '"' | '$' | '\\'));
                    word.push(if is_special { self.letters.next().unwrap_or('\\') } else { '\\' });
                }
                ('$', _) => word += &self.variable()?,
                ('"' | '\'', None) => quote = Some(letter),
                (letter, None) if parts && letter.is_whitespace() => words.push(std::mem::take(&mut word)),
                (letter, _) => word.push(letter),
            }
        }
        ensure!(quote.is_none(), "a quote is not closed");
        words.push(word);
        Ok(())
    }

    /// What stands for `$NAME`, `${NAME}`, `${NAME:-word}` or `${NAME:+word}`; nothing for what isn't there.
    fn variable(&mut self) -> Result<String> {
        if self.letters.next_if_eq(&'{').is_none() {
            let name = self.name();
            return Ok(if name.is_empty() { "$".into() } else { self.value(&name).unwrap_or_default() });
        }
        let name = self.name();
        let (mut rest, mut depth) = (String::new(), 1);
        loop {
            match self.letters.next() {
                Some('}') if depth == 1 => break,
                Some(letter) => {
                    depth += i32::from(letter == '{') - i32::from(letter == '}');
                    rest.push(letter);
                }
                None => bail!("a ${{ is not closed"),
            }
        }
        ensure!(!name.is_empty(), "bad substitution: ${{{rest}}}");
        let value = self.value(&name).filter(|value| !value.is_empty());
        match (rest.get(..2), rest.get(2..)) {
            _ if rest.is_empty() => Ok(value.unwrap_or_default()),
            (Some(":-"), Some(word)) => value.map_or_else(|| expanded(word, self.env), Ok),
            (Some(":+"), Some(word)) => value.map_or_else(|| Ok(String::new()), |_| expanded(word, self.env)),
            _ => bail!("unsupported modifier in ${{{name}{rest}}}"),
        }
    }

    fn name(&mut self) -> String {
        let mut name = String::new();
        let fits = |letter: &char, first: bool| {
            letter.is_ascii_alphabetic() || *letter == '_' || !first && letter.is_ascii_digit()
        };
        while let Some(letter) = self.letters.next_if(|letter| fits(letter, name.is_empty())) {
            name.push(letter);
        }
        name
    }

    fn value(&self, name: &str) -> Option<String> {
        let lines = self.env.iter().filter_map(|line| line.split_once('='));
        lines.into_iter().find(|(known, _)| *known == name).map(|(_, value)| value.to_owned())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quotes_backslashes_and_variables() {
        let env = ["A=1", "B=two words", "EMPTY="].map(str::to_owned);
        for (text, wanted) in [
            ("a  b", &["a", "b"][..]),
            ("'a b' \"c d\"e f\\ g", &["a b", "c de", "f g"]),
            ("$A $A$A x${A}y \"$B\"", &["1", "11", "x1y", "two words"]),
            ("'$A' \\$A \"\\$A\\n\\\"\"", &["$A", "$A", "$A\\n\""]),
            ("${NO:-x$A} ${A:-y} ${A:+z} x${NO:+z} x${EMPTY:-e} x$NO", &["x1", "1", "z", "x", "xe", "x"]),
            ("${NO:-${A}}$ $1", &["1$", "$1"]),
        ] {
            assert_eq!(split(text, &env).unwrap(), wanted, "{text}");
        }
        assert_eq!(expanded("some  $B", &env).unwrap(), "some  two words");
        for wrong in ["\"a", "'a", "${A", "${}", "${A:?x}"] {
            assert!(split(wrong, &env).is_err(), "{wrong}");
        }
    }
}
