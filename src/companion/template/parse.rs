//! Reading a template.

use anyhow::{Context, Result, bail, ensure};
use serde_json::Value;

use super::evaluate::FUNCTIONS;
use super::{Base, Command, Named, Node, Operand, Pipeline, Subject};

/// How deep brackets and blocks may be nested.
const DEEPEST: u32 = 100;

#[derive(Debug, PartialEq)]
enum Piece {
    Text(String),
    Action(Vec<Token>),
}

#[derive(Debug, Clone, PartialEq)]
enum Token {
    /// `.a.b`, `$x.a`, a function or a keyword.
    Word(String),
    Literal(Value),
    /// `|`, `(`, `)`, `,`, `:=`, `=`; a bracket may have fields behind it.
    Mark(&'static str),
}

pub(super) fn parse(text: &str) -> Result<(Vec<Node>, Named)> {
    let pieces = pieces(text).with_context(|| format!("template parsing error: {text:?}"))?;
    let mut parser = Parser { pieces: pieces.into_iter().collect(), depth: 0, ranges: 0, named: Named::new() };
    let (nodes, end) = parser.block().with_context(|| format!("template parsing error: {text:?}"))?;
    ensure!(end.is_empty(), "template parsing error: {text:?}: unexpected {{{{end}}}} or {{{{else}}}}");
    Ok((nodes, parser.named))
}

/// Divides a template into text and actions.
fn pieces(text: &str) -> Result<Vec<Piece>> {
    let mut pieces = Vec::new();
    let mut rest = text;
    let mut trim = false;
    loop {
        let (before, action) = match rest.split_once("{{") {
            Some((before, action)) => (before, Some(action)),
            None => (rest, None),
        };
        let trims_before = action.is_some_and(|action| is_trim(action.strip_prefix('-')));
        let mut before = if trim { before.trim_start() } else { before };
        if trims_before {
            before = before.trim_end();
        }
        pieces.push(Piece::Text(before.to_owned()));
        let Some(action) = action else { return Ok(pieces) };
        let action = if trims_before { &action[1..] } else { action };
        let (tokens, after, trims_after) = tokens(action)?;
        pieces.push(Piece::Action(tokens));
        (rest, trim) = (after, trims_after);
    }
}

/// `{{- ` needs a blank behind it: `{{-1}}` is a number.
fn is_trim(rest: Option<&str>) -> bool {
    rest.is_some_and(|rest| rest.starts_with(char::is_whitespace))
}

/// The tokens up to `}}`, what follows, and whether the blanks there go.
fn tokens(action: &str) -> Result<(Vec<Token>, &str, bool)> {
    let mut tokens = Vec::new();
    let mut rest = action.trim_start();
    if let Some(comment) = rest.strip_prefix("/*") {
        let (_, after) = comment.split_once("*/").context("unclosed comment")?;
        rest = after;
    }
    loop {
        let blank = rest.starts_with(char::is_whitespace);
        rest = rest.trim_start();
        if let Some(after) = rest.strip_prefix("-}}").filter(|_| blank) {
            return Ok((tokens, after, true));
        }
        if let Some(after) = rest.strip_prefix("}}") {
            return Ok((tokens, after, false));
        }
        let (token, after) = token(rest)?;
        // Fields belong to a bracket only right behind it.
        if !blank
            && tokens.last() == Some(&Token::Mark(")"))
            && matches!(&token, Token::Word(word) if word.starts_with('.'))
        {
            tokens.push(Token::Mark("fields"));
        }
        tokens.push(token);
        rest = after;
    }
}

fn token(rest: &str) -> Result<(Token, &str)> {
    let first = rest.chars().next().context("unclosed action")?;
    for mark in ["|", "(", ")", ",", ":=", "="] {
        if let Some(after) = rest.strip_prefix(mark) {
            return Ok((Token::Mark(mark), after));
        }
    }
    match first {
        '"' => quoted(rest),
        '`' => {
            let (raw, after) = rest[1..].split_once('`').context("unterminated raw string")?;
            Ok((Token::Literal(raw.into()), after))
        }
        '.' | '$' | '_' | 'a'..='z' | 'A'..='Z' => {
            let is_part = |letter: char| letter.is_alphanumeric() || matches!(letter, '.' | '$' | '_');
            let end = rest.find(|letter| !is_part(letter)).unwrap_or(rest.len());
            let word = &rest[..end];
            let literal = match word {
                "true" => Some(Value::Bool(true)),
                "false" => Some(Value::Bool(false)),
                "nil" => Some(Value::Null),
                _ => None,
            };
            Ok((literal.map_or_else(|| Token::Word(word.to_owned()), Token::Literal), &rest[end..]))
        }
        '-' | '0'..='9' => {
            let end = rest[1..].find(|letter: char| !letter.is_ascii_digit() && letter != '.');
            let (number, after) = rest.split_at(end.map_or(rest.len(), |end| end + 1));
            let value = serde_json::from_str::<Value>(number).with_context(|| format!("bad number {number:?}"))?;
            Ok((Token::Literal(value), after))
        }
        other => bail!("unexpected {other:?} in an action"),
    }
}

fn quoted(rest: &str) -> Result<(Token, &str)> {
    let mut escaped = false;
    for (at, letter) in rest.char_indices().skip(1) {
        match letter {
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            '"' => {
                let value =
                    serde_json::from_str(&rest[..=at]).with_context(|| format!("bad string {}", &rest[..=at]))?;
                return Ok((Token::Literal(value), &rest[at + 1..]));
            }
            '\n' => break,
            _ => {}
        }
    }
    bail!("unterminated quoted string")
}

struct Parser {
    pieces: std::collections::VecDeque<Piece>,
    depth: u32,
    /// How many `range` are around.
    ranges: u32,
    named: Named,
}

impl Parser {
    /// Nodes up to an `end` or `else`, whose tokens are returned, or to the end of the text.
    fn block(&mut self) -> Result<(Vec<Node>, Vec<Token>)> {
        self.depth += 1;
        ensure!(self.depth < DEEPEST, "nested too deeply");
        let mut nodes = Vec::new();
        while let Some(piece) = self.pieces.pop_front() {
            let tokens = match piece {
                Piece::Text(text) => {
                    nodes.push(Node::Text(text));
                    continue;
                }
                Piece::Action(tokens) => tokens,
            };
            let word = match tokens.first() {
                Some(Token::Word(word)) => word.as_str(),
                Some(_) => "",
                // A comment.
                None => continue,
            };
            if matches!(word, "end" | "else") {
                self.depth -= 1;
                return Ok((nodes, tokens));
            }
            nodes.extend(self.node(word, &tokens)?);
        }
        self.depth -= 1;
        Ok((nodes, Vec::new()))
    }

    /// What an action is that begins with this word, with all that is inside of it; none is a definition.
    fn node(&mut self, word: &str, tokens: &[Token]) -> Result<Option<Node>> {
        Ok(Some(match word {
            "if" => self.condition(&tokens[1..])?,
            "with" => {
                let subject = subject(&tokens[1..])?;
                let (inside, otherwise) = self.with_else()?;
                Node::With(subject, inside, otherwise)
            }
            "range" => {
                let (names, subject) = declared(&tokens[1..])?;
                let subject = pipeline(subject)?;
                self.ranges += 1;
                let (inside, otherwise) = self.with_else()?;
                self.ranges -= 1;
                Node::Range(names, subject, inside, otherwise)
            }
            "break" | "continue" if tokens.len() == 1 => {
                ensure!(self.ranges > 0, "{{{{{word}}}}} outside of {{{{range}}}}");
                if word == "break" { Node::Break } else { Node::Continue }
            }
            "define" => {
                ensure!(self.depth == 1, "{{{{define}}}} inside of another block");
                let (name, rest) = name(tokens)?;
                ensure!(rest.is_empty(), "{{{{define}}}} takes a name alone");
                self.define(name)?;
                return Ok(None);
            }
            "block" => {
                let (name, rest) = name(tokens)?;
                let data = pipeline(rest)?;
                self.define(name.clone())?;
                Node::Template(name, Some(data))
            }
            "template" => {
                let (name, rest) = name(tokens)?;
                let data = (!rest.is_empty()).then(|| pipeline(rest)).transpose()?;
                Node::Template(name, data)
            }
            _ => action(tokens)?,
        }))
    }

    /// The nodes up to `end`, which have a name.
    fn define(&mut self, name: String) -> Result<()> {
        let ranges = std::mem::take(&mut self.ranges);
        let (nodes, end) = self.block()?;
        ensure!(end == [Token::Word("end".into())], "{{{{end}}}} is missing");
        self.ranges = ranges;
        self.named.insert(name, nodes);
        Ok(())
    }

    fn condition(&mut self, tokens: &[Token]) -> Result<Node> {
        let mut branches = Vec::new();
        let mut condition = subject(tokens)?;
        loop {
            let (inside, end) = self.block()?;
            branches.push((condition, inside));
            match &end[..] {
                [Token::Word(end)] if end == "end" => return Ok(Node::If(branches, Vec::new())),
                [Token::Word(_)] => {
                    let (otherwise, end) = self.block()?;
                    ensure!(end == [Token::Word("end".into())], "{{{{end}}}} is missing");
                    return Ok(Node::If(branches, otherwise));
                }
                [Token::Word(_), Token::Word(next), rest @ ..] if next == "if" => condition = subject(rest)?,
                _ => bail!("{{{{end}}}} is missing"),
            }
        }
    }

    fn with_else(&mut self) -> Result<(Vec<Node>, Vec<Node>)> {
        let is = |end: &[Token], word: &str| end == [Token::Word(word.into())];
        let (inside, end) = self.block()?;
        if is(&end, "end") {
            return Ok((inside, Vec::new()));
        }
        ensure!(is(&end, "else"), "{{{{end}}}} is missing");
        let (otherwise, end) = self.block()?;
        ensure!(is(&end, "end"), "{{{{end}}}} is missing");
        Ok((inside, otherwise))
    }
}

/// `define "NAME"`, and what follows.
fn name(tokens: &[Token]) -> Result<(String, &[Token])> {
    match tokens {
        [_, Token::Literal(Value::String(name)), rest @ ..] => Ok((name.clone(), rest)),
        _ => bail!("a name in quotes is wanted"),
    }
}

/// What is printed, or what a variable is set to.
fn action(tokens: &[Token]) -> Result<Node> {
    let (mut names, value) = declared(tokens)?;
    ensure!(names.len() < 2, "too many variables");
    let value = pipeline(value)?;
    let declares = tokens.contains(&Token::Mark(":="));
    Ok(match names.pop() {
        Some(name) => Node::Set { name, declares, value },
        None => Node::Print(value),
    })
}

/// What `if` and `with` look at.
fn subject(tokens: &[Token]) -> Result<Subject> {
    let (mut names, value) = declared(tokens)?;
    ensure!(names.len() < 2, "too many variables");
    Ok(Subject { name: names.pop(), value: pipeline(value)? })
}

/// `$a, $b := …`: the names, and what is assigned.
fn declared(tokens: &[Token]) -> Result<(Vec<String>, &[Token])> {
    let assigns = |token: &Token| matches!(token, Token::Mark(":=" | "="));
    let Some(at) = tokens.iter().position(assigns) else { return Ok((Vec::new(), tokens)) };
    let mut names = Vec::new();
    for part in tokens[..at].split(|token| *token == Token::Mark(",")) {
        match part {
            [Token::Word(name)] if name.starts_with('$') && !name.contains('.') => names.push(name.clone()),
            _ => bail!("a variable is wanted before :="),
        }
    }
    ensure!(names.len() < 3, "too many variables");
    Ok((names, &tokens[at + 1..]))
}

fn pipeline(tokens: &[Token]) -> Result<Pipeline> {
    let mut rest = tokens;
    let pipeline = commands(&mut rest, 0)?;
    ensure!(rest.is_empty(), "a bracket that was not opened is closed");
    Ok(pipeline)
}

/// Commands up to a closing bracket.
fn commands(rest: &mut &[Token], depth: u32) -> Result<Pipeline> {
    ensure!(depth < DEEPEST, "nested too deeply");
    let mut pipeline = vec![Command::new()];
    while let Some((token, after)) = rest.split_first() {
        let operand = match token {
            Token::Mark(")") => break,
            Token::Mark("|") => {
                pipeline.push(Command::new());
                *rest = after;
                continue;
            }
            Token::Mark("(") => {
                *rest = after;
                let inside = commands(rest, depth + 1)?;
                let Some((Token::Mark(")"), after)) = rest.split_first() else { bail!("a bracket is not closed") };
                *rest = after;
                let mut fields = Vec::new();
                if let [Token::Mark("fields"), Token::Word(word), after @ ..] = *rest {
                    fields = names(&word[1..])?;
                    *rest = after;
                }
                last(&mut pipeline)?.push(Operand::Path(Base::Pipeline(inside), fields));
                continue;
            }
            Token::Mark(mark) => bail!("unexpected {mark:?}"),
            Token::Literal(value) => Operand::Literal(value.clone()),
            Token::Word(word) => operand(word)?,
        };
        last(&mut pipeline)?.push(operand);
        *rest = after;
    }
    ensure!(pipeline.iter().all(|command| !command.is_empty()), "missing value for command");
    Ok(pipeline)
}

fn last(pipeline: &mut Pipeline) -> Result<&mut Command> {
    pipeline.last_mut().context("a pipeline has a command")
}

fn operand(word: &str) -> Result<Operand> {
    if word == "." {
        return Ok(Operand::Path(Base::Dot, Vec::new()));
    }
    if let Some(fields) = word.strip_prefix('.') {
        return Ok(Operand::Path(Base::Dot, names(fields)?));
    }
    if word.starts_with('$') {
        let (variable, fields) = word.split_once('.').map_or((word, None), |(variable, rest)| (variable, Some(rest)));
        let fields = fields.map(names).transpose()?.unwrap_or_default();
        return Ok(Operand::Path(Base::Variable(variable.into()), fields));
    }
    ensure!(!word.contains(['.', '$']), "bad name {word:?}");
    ensure!(FUNCTIONS.contains(&word), "function {word:?} not defined");
    Ok(Operand::Function(word.into()))
}

fn names(fields: &str) -> Result<Vec<String>> {
    let names: Vec<String> = fields.split('.').map(str::to_owned).collect();
    ensure!(names.iter().all(|name| !name.is_empty()), "a field without a name in {fields:?}");
    Ok(names)
}
