//! Filling in a template.

use std::fmt::Write as _;

use anyhow::{Context, Result, bail, ensure};
use serde_json::{Map, Value};

use super::{Base, Command, Named, Node, Operand, Pipeline, Subject, Template};

/// What `{{.Label "KEY"}}` is.
#[derive(Clone, Copy)]
pub(super) enum Labels<'a> {
    /// There is no such thing.
    None,
    Of(&'a Map<String, Value>),
    /// The heading of that column, and of all others.
    Heading,
}

/// How deep blocks and templates may be in each other, all together.
const DEEPEST: u32 = 300;

pub(super) fn render(template: &Template, data: &Value, labels: Labels<'_>) -> Result<String> {
    let variables = vec![("$".into(), data.clone())];
    let mut scope = Scope { variables, output: String::new(), named: &template.named, labels, depth: 0 };
    scope.nodes(&template.nodes, data).context("template: executing it")?;
    Ok(scope.output)
}

struct Scope<'a> {
    variables: Vec<(String, Value)>,
    output: String,
    named: &'a Named,
    labels: Labels<'a>,
    depth: u32,
}

/// How it goes on after a node.
enum Flow {
    On,
    Break,
    Continue,
}

impl Scope<'_> {
    fn nodes(&mut self, nodes: &[Node], dot: &Value) -> Result<Flow> {
        let known = self.variables.len();
        self.depth += 1;
        ensure!(self.depth < DEEPEST, "nested too deeply");
        let mut flow = Flow::On;
        for node in nodes {
            flow = self.node(node, dot)?;
            if !matches!(flow, Flow::On) {
                break;
            }
        }
        self.variables.truncate(known);
        self.depth -= 1;
        Ok(flow)
    }

    fn node(&mut self, node: &Node, dot: &Value) -> Result<Flow> {
        match node {
            Node::Text(text) => self.output.push_str(text),
            Node::Print(pipeline) => {
                let value = self.pipeline(pipeline, dot)?;
                self.output.push_str(&shown(&value));
            }
            Node::Set { name, declares, value } => {
                let value = self.pipeline(value, dot)?;
                self.set(name, *declares, value)?;
            }
            Node::If(branches, otherwise) => {
                let known = self.variables.len();
                for (condition, inside) in branches {
                    let is = is_true(&self.subject(condition, dot)?);
                    if is {
                        return self.block(inside, dot, known);
                    }
                }
                return self.block(otherwise, dot, known);
            }
            Node::With(subject, inside, otherwise) => {
                let known = self.variables.len();
                let subject = self.subject(subject, dot)?;
                let is = is_true(&subject);
                return if is { self.block(inside, &subject, known) } else { self.block(otherwise, dot, known) };
            }
            Node::Range(names, subject, inside, otherwise) => {
                let items = items(self.pipeline(subject, dot)?)?;
                if items.is_empty() {
                    return self.nodes(otherwise, dot);
                }
                self.range(names, items, inside)?;
            }
            Node::Break => return Ok(Flow::Break),
            Node::Continue => return Ok(Flow::Continue),
            Node::Template(name, data) => {
                let data = data.as_ref().map_or(Ok(Value::Null), |data| self.pipeline(data, dot))?;
                self.template(name, data)?;
            }
        }
        Ok(Flow::On)
    }

    /// Nodes, after which no more variables are known than these.
    fn block(&mut self, nodes: &[Node], dot: &Value, known: usize) -> Result<Flow> {
        let flow = self.nodes(nodes, dot);
        self.variables.truncate(known);
        flow
    }

    /// What a block is about; its variable is known from then on.
    fn subject(&mut self, subject: &Subject, dot: &Value) -> Result<Value> {
        let value = self.pipeline(&subject.value, dot)?;
        if let Some(name) = &subject.name {
            self.variables.push((name.clone(), value.clone()));
        }
        Ok(value)
    }

    fn set(&mut self, name: &str, declares: bool, value: Value) -> Result<()> {
        if declares {
            self.variables.push((name.to_owned(), value));
            return Ok(());
        }
        let found = self.variables.iter_mut().rev().find(|(known, _)| known == name);
        found.with_context(|| format!("undefined variable {name:?}"))?.1 = value;
        Ok(())
    }

    fn range(&mut self, names: &[String], items: Vec<(Value, Value)>, inside: &[Node]) -> Result<()> {
        for (key, value) in items {
            let known = self.variables.len();
            match names {
                [] => {}
                [name] => self.variables.push((name.clone(), value.clone())),
                [index, name, ..] => {
                    self.variables.push((index.clone(), key));
                    self.variables.push((name.clone(), value.clone()));
                }
            }
            if let Flow::Break = self.block(inside, &value, known)? {
                break;
            }
        }
        Ok(())
    }

    /// Fills in what has this name; it knows of no variable but its data.
    fn template(&mut self, name: &str, data: Value) -> Result<()> {
        let nodes = self.named.get(name).with_context(|| format!("template {name:?} not defined"))?;
        let variables = std::mem::replace(&mut self.variables, vec![("$".into(), data.clone())]);
        let flow = self.nodes(nodes, &data);
        self.variables = variables;
        flow.map(|_| ())
    }

    fn pipeline(&self, pipeline: &Pipeline, dot: &Value) -> Result<Value> {
        let mut before = None;
        for command in pipeline {
            before = Some(self.command(command, before, dot)?);
        }
        before.context("an empty pipeline")
    }

    fn command(&self, command: &Command, before: Option<Value>, dot: &Value) -> Result<Value> {
        let (first, rest) = command.split_first().context("an empty command")?;
        let Operand::Function(name) = first else {
            if let (Operand::Path(_, fields), [Operand::Literal(Value::String(key))]) = (first, rest)
                && fields.last().is_some_and(|field| field == "Label")
                && let Some(label) = self.label(key)
            {
                return Ok(label);
            }
            ensure!(rest.is_empty() && before.is_none(), "can't give arguments to what is no function");
            return self.operand(first, dot);
        };
        let mut arguments = rest.iter().map(|operand| self.operand(operand, dot)).collect::<Result<Vec<_>>>()?;
        arguments.extend(before);
        if matches!(self.labels, Labels::Heading) && UNHEEDED.contains(&name.as_str()) {
            return arguments.into_iter().next().context("an argument is missing");
        }
        call(name, &arguments).with_context(|| format!("function {name:?}"))
    }

    fn label(&self, key: &str) -> Option<Value> {
        match self.labels {
            Labels::None => None,
            Labels::Of(labels) => Some(labels.get(key).cloned().unwrap_or_else(|| "".into())),
            // The last part of its name, in words.
            Labels::Heading => Some(key.rsplit('.').next().unwrap_or_default().replace(['-', '_'], " ").into()),
        }
    }

    fn operand(&self, operand: &Operand, dot: &Value) -> Result<Value> {
        let (base, fields) = match operand {
            Operand::Literal(value) => return Ok(value.clone()),
            Operand::Function(name) => return self.command(&vec![Operand::Function(name.clone())], None, dot),
            Operand::Path(base, fields) => (base, fields),
        };
        let mut value = match base {
            Base::Dot => dot.clone(),
            Base::Variable(name) => {
                let found = self.variables.iter().rev().find(|(known, _)| known == name);
                found.with_context(|| format!("undefined variable {name:?}"))?.1.clone()
            }
            Base::Pipeline(pipeline) => self.pipeline(pipeline, dot)?,
        };
        for (at, field) in fields.iter().enumerate() {
            let is_of_map = at > 0 && MAPS.contains(&fields[at - 1].as_str());
            value = match value {
                Value::Object(mut map) => match map.remove(field) {
                    Some(value) => value,
                    None if is_of_map => Value::Null,
                    None => map.remove(&in_json(field)).with_context(|| format!("no field {field}"))?,
                },
                Value::Null => bail!("nil has no field {field}"),
                _ => bail!("can't evaluate field {field} of what is no object"),
            };
        }
        Ok(value)
    }
}

fn items(value: Value) -> Result<Vec<(Value, Value)>> {
    match value {
        Value::Array(list) => Ok(list.into_iter().enumerate().map(|(index, value)| (index.into(), value)).collect()),
        Value::Object(map) => Ok(map.into_iter().map(|(key, value)| (key.into(), value)).collect()),
        Value::Null => Ok(Vec::new()),
        other => bail!("range can't iterate over {}", shown(&other)),
    }
}

/// As Go sees it: empty is false.
fn is_true(value: &Value) -> bool {
    match value {
        Value::Null => false,
        Value::Bool(is) => *is,
        Value::Number(number) => number.as_f64() != Some(0.0),
        Value::String(text) => !text.is_empty(),
        Value::Array(list) => !list.is_empty(),
        Value::Object(map) => !map.is_empty(),
    }
}

/// As Go prints it.
fn shown(value: &Value) -> String {
    match value {
        Value::Null => "<no value>".into(),
        Value::String(text) => text.clone(),
        Value::Array(list) => format!("[{}]", list.iter().map(shown).collect::<Vec<_>>().join(" ")),
        Value::Object(map) => {
            // What has nothing in it inside of a map is a structure without fields: a port, a volume.
            let inside = |value: &Value| match value {
                Value::Object(map) if map.is_empty() => "{}".to_owned(),
                value => shown(value),
            };
            let pairs = map.iter().map(|(key, value)| format!("{key}:{}", inside(value)));
            format!("map[{}]", pairs.collect::<Vec<_>>().join(" "))
        }
        other => other.to_string(),
    }
}

/// What Go has as maps and not as structures: nothing is wrong about a key that isn't there.
const MAPS: [&str; 14] = [
    "Annotations",
    "Attributes",
    "AuxiliaryAddresses",
    "Containers",
    "DriverOpts",
    "ExposedPorts",
    "Labels",
    "Networks",
    "Options",
    "PortBindings",
    "Ports",
    "StorageOpt",
    "Sysctls",
    "Volumes",
];

/// What leaves a heading as it is.
const UNHEEDED: [&str; 8] = ["json", "split", "join", "title", "lower", "upper", "pad", "truncate"];

/// All that there are; others are refused when a template is read.
pub(super) const FUNCTIONS: [&str; 23] = [
    "and", "eq", "ge", "gt", "index", "join", "json", "le", "len", "lower", "lt", "ne", "not", "or", "pad", "print",
    "printf", "println", "slice", "split", "title", "truncate", "upper",
];

fn call(name: &str, arguments: &[Value]) -> Result<Value> {
    let text = |at: usize| -> Result<&str> {
        arguments.get(at).and_then(Value::as_str).with_context(|| format!("argument {} is no string", at + 1))
    };
    let any = |at: usize| arguments.get(at).with_context(|| format!("argument {} is missing", at + 1));
    let number = |at: usize| -> Result<usize> {
        let number = any(at)?.as_u64().and_then(|number| usize::try_from(number).ok());
        number.with_context(|| format!("argument {} is no index", at + 1))
    };
    Ok(match name {
        "json" => serde_json::to_string(any(0)?)?.into(),
        "lower" => text(0)?.to_lowercase().into(),
        "upper" => text(0)?.to_uppercase().into(),
        "title" => titled(text(0)?).into(),
        "split" => split(text(0)?, text(1)?),
        "join" => any(0)?.as_array().context("no list")?.iter().map(shown).collect::<Vec<_>>().join(text(1)?).into(),
        "truncate" => text(0)?.chars().take(number(1)?).collect::<String>().into(),
        "pad" => {
            let padded = |count: usize| -> Result<String> {
                ensure!(count <= 1000, "too much padding");
                Ok(" ".repeat(count))
            };
            let text = text(0)?;
            if text.is_empty() { text.into() } else { (padded(number(1)?)? + text + &padded(number(2)?)?).into() }
        }
        "len" => match any(0)? {
            // What is null in JSON is an empty list or map in Go.
            Value::Null => 0.into(),
            Value::String(text) => text.len().into(),
            Value::Array(list) => list.len().into(),
            Value::Object(map) => map.len().into(),
            other => bail!("len of {}", shown(other)),
        },
        "index" => {
            let mut value = any(0)?.clone();
            for key in &arguments[1..] {
                value = indexed(value, key)?;
            }
            value
        }
        "slice" => sliced(
            any(0)?,
            arguments.get(1).map_or(Ok(0), |_| number(1))?,
            arguments.get(2).map(|_| number(2)).transpose()?,
        )?,
        "print" => print(arguments).into(),
        "println" => (arguments.iter().map(shown).collect::<Vec<_>>().join(" ") + "\n").into(),
        "printf" => formatted(text(0)?, &arguments[1..])?.into(),
        _ => decided(name, arguments)?,
    })
}

/// What is true or not, and what depends on that.
fn decided(name: &str, arguments: &[Value]) -> Result<Value> {
    let any = |at: usize| arguments.get(at).with_context(|| format!("argument {} is missing", at + 1));
    let first_that_is = |wanted| arguments.iter().find(|value| is_true(value) == wanted).or(arguments.last());
    Ok(match name {
        "not" => (!is_true(any(0)?)).into(),
        "and" => first_that_is(false).context("no arguments")?.clone(),
        "or" => first_that_is(true).context("no arguments")?.clone(),
        "eq" => {
            let first = any(0)?;
            arguments[1..].iter().any(|other| equal(first, other)).into()
        }
        "ne" => (!equal(any(0)?, any(1)?)).into(),
        "lt" => compared(any(0)?, any(1)?)?.is_lt().into(),
        "le" => compared(any(0)?, any(1)?)?.is_le().into(),
        "gt" => compared(any(0)?, any(1)?)?.is_gt().into(),
        "ge" => compared(any(0)?, any(1)?)?.is_ge().into(),
        _ => bail!("it is not known here"),
    })
}

/// Go's: by nothing, into letters.
fn split(text: &str, by: &str) -> Value {
    match by {
        "" => text.chars().map(|letter| Value::from(letter.to_string())).collect::<Vec<_>>().into(),
        by => text.split(by).map(Value::from).collect::<Vec<_>>().into(),
    }
}

/// Go's: a blank between two of which neither is a string.
fn print(arguments: &[Value]) -> String {
    let mut text = String::new();
    for (at, argument) in arguments.iter().enumerate() {
        if at > 0 && !argument.is_string() && !arguments[at - 1].is_string() {
            text.push(' ');
        }
        text += &shown(argument);
    }
    text
}

fn titled(text: &str) -> String {
    let mut letters = text.chars();
    letters.next().map(|first| first.to_uppercase().collect::<String>() + letters.as_str()).unwrap_or_default()
}

fn indexed(value: Value, key: &Value) -> Result<Value> {
    match (value, key) {
        // What a map doesn't have is its zero value, in Go: of a map of texts an empty one.
        (Value::Object(mut map), Value::String(key)) => {
            let zero = if map.values().all(Value::is_string) { Value::from("") } else { Value::Null };
            Ok(map.remove(key).unwrap_or(zero))
        }
        (Value::Array(mut list), Value::Number(index)) => {
            let index =
                index.as_u64().and_then(|index| usize::try_from(index).ok()).filter(|index| *index < list.len());
            Ok(list.swap_remove(index.with_context(|| format!("index out of range: {key}"))?))
        }
        (Value::Null, _) => bail!("index of untyped nil"),
        (value, key) => bail!("can't index {} with {key}", shown(&value)),
    }
}

/// The part of a text (counted in bytes) or list from one place to before another.
fn sliced(value: &Value, from: usize, to: Option<usize>) -> Result<Value> {
    let out_of_range = || format!("slice index out of range: {from}");
    match value {
        Value::String(text) => Ok(text.get(from..to.unwrap_or(text.len())).with_context(out_of_range)?.into()),
        Value::Array(list) => Ok(list.get(from..to.unwrap_or(list.len())).with_context(out_of_range)?.to_vec().into()),
        other => bail!("can't slice {}", shown(other)),
    }
}

fn equal(one: &Value, other: &Value) -> bool {
    one == other || (one.is_number() && other.is_number() && one.as_f64() == other.as_f64())
}

fn compared(one: &Value, other: &Value) -> Result<std::cmp::Ordering> {
    match (one, other) {
        (Value::String(one), Value::String(other)) => Ok(one.cmp(other)),
        (Value::Number(one), Value::Number(other)) => {
            one.as_f64().partial_cmp(&other.as_f64()).context("numbers that can't be compared")
        }
        _ => bail!("incompatible types for comparison"),
    }
}

/// `%s`, `%v`, `%d`, `%t`, `%q` and `%%`; with a width, to the left of it after `-` (`%-20s`), and of texts the first so many letters (`%.12s`).
fn formatted(format: &str, arguments: &[Value]) -> Result<String> {
    let mut output = String::new();
    let mut arguments = arguments.iter();
    let mut rest = format;
    while let Some((before, after)) = rest.split_once('%') {
        output.push_str(before);
        let (to_the_left, after) = after.strip_prefix('-').map_or((false, after), |after| (true, after));
        let (width, after) = leading_number(after)?;
        let (precision, after) = match after.strip_prefix('.') {
            Some(after) => leading_number(after).map(|(number, after)| (Some(number), after))?,
            None => (None, after),
        };
        let mut letters = after.chars();
        let verb = letters.next().context("the format ends with %")?;
        rest = letters.as_str();
        if verb == '%' {
            output.push('%');
            continue;
        }
        let value = arguments.next().context("an argument is missing")?;
        let mut text = shown(value);
        if let (Some(precision), Value::String(whole)) = (precision, value) {
            text = whole.chars().take(precision).collect();
        }
        match verb {
            's' | 'v' | 'd' | 't' => {}
            'q' => text = Value::from(text).to_string(),
            other => bail!("the verb %{other} is not known here"),
        }
        // Writing to a String can't fail.
        let _ = if to_the_left { write!(output, "{text:<width$}") } else { write!(output, "{text:>width$}") };
    }
    Ok(output + rest)
}

/// The number that a text begins with, 0 without one, and the rest.
fn leading_number(text: &str) -> Result<(usize, &str)> {
    let end = text.find(|letter: char| !letter.is_ascii_digit()).unwrap_or(text.len());
    let (digits, rest) = text.split_at(end);
    let number = if digits.is_empty() { 0 } else { digits.parse().unwrap_or(usize::MAX) };
    ensure!(number <= 1000, "too much padding");
    Ok((number, rest))
}

/// A field's name as some of docker's are in JSON, those of events among them: `ID` is `id` there, and `TimeNano` `timeNano`.
fn in_json(field: &str) -> String {
    if field.chars().all(char::is_uppercase) {
        return field.to_lowercase();
    }
    let mut letters = field.chars();
    letters.next().map(|first| first.to_lowercase().chain(letters).collect()).unwrap_or_default()
}
