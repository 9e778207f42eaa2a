//! The part of Go's text/template that people use with `--format`: fields, pipelines, `if`, `range`, `with`, variables, templates
//! with names and docker's functions.

mod evaluate;
mod parse;

use anyhow::Result;
use serde_json::{Map, Value};

/// A template, read.
#[derive(Debug)]
pub struct Template {
    nodes: Vec<Node>,
    named: Named,
}

/// What `define` and `block` give names to.
type Named = std::collections::BTreeMap<String, Vec<Node>>;

impl Template {
    /// Reads a template.
    pub fn parse(text: &str) -> Result<Template> {
        parse::parse(text).map(|(nodes, named)| Template { nodes, named })
    }

    /// Fills it in.
    pub fn render(&self, data: &Value) -> Result<String> {
        evaluate::render(self, data, evaluate::Labels::None)
    }

    /// Fills it in, with what `{{.Label "KEY"}}` is asked of.
    pub fn render_with_labels(&self, data: &Value, labels: &Map<String, Value>) -> Result<String> {
        evaluate::render(self, data, evaluate::Labels::Of(labels))
    }

    /// The heading above such lines: fields are the columns' headings, which no function changes.
    pub fn heading(&self, headings: &Value) -> Result<String> {
        evaluate::render(self, headings, evaluate::Labels::Heading)
    }
}

#[derive(Debug)]
enum Node {
    Text(String),
    Print(Pipeline),
    /// `$x := …`, which is known to the end of its block, or `$x = …`, to the end of the block that it was declared in.
    Set {
        name: String,
        declares: bool,
        value: Pipeline,
    },
    /// What is tested, and what comes of it; the rest if nothing was true.
    If(Vec<(Subject, Vec<Node>)>, Vec<Node>),
    With(Subject, Vec<Node>, Vec<Node>),
    /// Names of key and value, what is walked through, for each, for none.
    Range(Vec<String>, Pipeline, Vec<Node>, Vec<Node>),
    Break,
    Continue,
    /// What has this name, with that as its data.
    Template(String, Option<Pipeline>),
}

/// What a block is about, and the variable that has it inside.
#[derive(Debug)]
struct Subject {
    name: Option<String>,
    value: Pipeline,
}

/// Commands, each with the result of the one before as its last argument.
type Pipeline = Vec<Command>;

/// A value, or a function and its arguments.
type Command = Vec<Operand>;

#[derive(Debug)]
enum Operand {
    Literal(Value),
    Function(String),
    /// The data (`.`), a variable or a bracketed pipeline, and the fields of it.
    Path(Base, Vec<String>),
}

#[derive(Debug)]
enum Base {
    Dot,
    Variable(String),
    Pipeline(Pipeline),
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn render(text: &str) -> String {
        let data = json!({
            "Id": "sha256:0123", "Size": 12, "Empty": "", "None": null, "Yes": true,
            "Tags": ["a:1", "b:2"],
            "Config": {"Env": ["A=1", "B=2"], "Labels": {"x.y": "z"}, "Cmd": []},
        });
        match Template::parse(text).and_then(|template| template.render(&data)) {
            Ok(text) => text,
            Err(error) => format!("error: {error:#}"),
        }
    }

    #[test]
    fn a_function_without_arguments_is_an_error_or_empty() {
        for function in evaluate::FUNCTIONS {
            let rendered = Template::parse(&format!("{{{{{function}}}}}")).unwrap().render(&json!({}));
            let is_fine =
                rendered.as_deref().map_or_else(|error| format!("{error:#}").contains(function), str::is_empty);
            assert!(is_fine || function == "println", "{function}: {rendered:?}");
        }
    }

    #[test]
    fn what_people_write() {
        for (template, wanted) in [
            ("{{.Id}} {{ .Size }}", "sha256:0123 12"),
            ("{{json .Tags}}", r#"["a:1","b:2"]"#),
            ("{{json .}}", &render("{{. | json}}")),
            ("{{.Config.Env}}", "[A=1 B=2]"),
            ("{{.Config.Labels}}", "map[x.y:z]"),
            ("{{index .Config.Labels \"x.y\"}}", "z"),
            ("{{index .Tags 1}}", "b:2"),
            ("{{range .Tags}}<{{.}}>{{end}}", "<a:1><b:2>"),
            ("{{range $i, $t := .Tags}}{{$i}}={{$t}};{{end}}", "0=a:1;1=b:2;"),
            ("{{range $k, $v := .Config.Labels}}{{$k}}={{$v}}{{end}}", "x.y=z"),
            ("{{range .Config.Cmd}}x{{else}}none{{end}}", "none"),
            ("{{if .Empty}}a{{else if .Yes}}b{{else}}c{{end}}", "b"),
            ("{{if and .Yes (not .Empty)}}y{{end}}", "y"),
            ("{{if eq .Size 12}}twelve{{end}}", "twelve"),
            ("{{if ne .Id \"x\" }}other{{end}}", "other"),
            ("{{with .Config}}{{index .Env 0}} {{$.Id}}{{end}}", "A=1 sha256:0123"),
            ("{{join .Tags \", \"}}", "a:1, b:2"),
            ("{{upper .Id}} {{.Id | lower}} {{title \"abc\"}}", "SHA256:0123 sha256:0123 Abc"),
            ("{{(split .Id \":\")}}", "[sha256 0123]"),
            ("{{index (split .Id \":\") 1}}", "0123"),
            ("{{truncate .Id 3}}", "sha"),
            ("{{len .Tags}}", "2"),
            ("a {{- .Size -}} b", "a12b"),
            ("{{/* nothing */}}x", "x"),
            ("{{$x := .Size}}{{$x}}", "12"),
            ("{{println .Size}}", "12\n"),
            ("{{with $x := .Config}}{{index $x.Env 0}} {{len .Env}}{{end}}", "A=1 2"),
            ("{{with $x := .Empty}}a{{else}}<{{$x}}>{{end}}", "<>"),
            ("{{if $n := .Size}}{{$n}}{{end}}", "12"),
            ("{{range .Tags}}{{.}}{{break}}{{end}}", "a:1"),
            ("{{range .Tags}}{{if eq . \"a:1\"}}{{continue}}{{end}}{{.}}{{end}}", "b:2"),
            ("{{range $i, $e := .Config.Env}}{{range $.Tags}}{{break}}x{{end}}{{$i}}{{end}}", "01"),
            ("{{$x := 1}}{{range .Tags}}{{$x = .}}{{end}}{{$x}}", "b:2"),
            ("{{$x := 1}}{{if .Yes}}{{$x := 2}}{{$x}}{{end}}{{$x}}", "21"),
            ("{{define \"tag\"}}<{{.}}>{{end}}{{range .Tags}}{{template \"tag\" .}}{{end}}", "<a:1><b:2>"),
            ("{{template \"later\"}}{{define \"later\"}}{{.}}!{{end}}", "<no value>!"),
            ("{{block \"b\" .Size}}{{.}}{{end}}{{template \"b\" .Id}}", "12sha256:0123"),
            ("{{printf \"%s-%d-%q\" .Id .Size \"q\"}}", "sha256:0123-12-\"q\""),
            (
                "{{printf \"%-6s|%5d|%.3s|%8.6q|%t|100%%.\" \"ab\" .Size .Id .Id .Yes}}",
                "ab    |   12|sha|\"sha256\"|true|100%.",
            ),
            ("{{slice .Id 7 9}} {{slice .Id 7}} {{slice .Tags 1}}", "01 0123 [b:2]"),
            ("{{.Config.Labels.y}}{{if .Config.Labels.y}}!{{end}}", "<no value>"),
            ("<{{index .Config.Labels \"y\"}}>", "<>"),
            ("{{.None}}", "<no value>"),
            ("{{\"{{\"}}", "{{"),
            ("{{`raw\\n`}}", "raw\\n"),
        ] {
            assert_eq!(render(template), wanted, "{template}");
        }
    }

    #[test]
    fn what_is_wrong_is_said() {
        for (template, wanted) in [
            ("{{.Id", "unclosed action"),
            ("{{.Nothing}}", "no field Nothing"),
            ("{{if .Id}}", "end"),
            ("{{end}}", "end"),
            ("{{nothing .Id}}", "function \"nothing\" not defined"),
            ("{{index .Tags 5}}", "out of range"),
            ("{{slice .Id 7 99}}", "slice index out of range"),
            ("{{slice .Id 9 7}}", "slice index out of range"),
            ("{{\"open}}", "unterminated"),
            ("{{printf \"%z\" .Id}}", "verb %z"),
            ("{{printf \"%99999999999999999999s\" .Id}}", "too much padding"),
            ("{{printf \"%-\" .Id}}", "ends with %"),
            ("{{$x}}", "undefined variable"),
            ("{{(.Id}}", "bracket"),
            ("{{break}}", "{{break}} outside of {{range}}"),
            ("{{range .Tags}}{{define \"x\"}}{{end}}{{end}}", "{{define}} inside of another block"),
            ("{{template \"x\"}}", "template \"x\" not defined"),
            ("{{define \"x\"}}{{template \"x\"}}{{end}}{{template \"x\"}}", "nested too deeply"),
            ("{{template .Id}}", "a name in quotes"),
            ("{{$x = 1}}", "undefined variable"),
            ("{{.Id 1}}", "can't give arguments"),
        ] {
            let said = render(template);
            assert!(said.starts_with("error: ") && said.contains(wanted), "{template}: {said}");
        }
    }

    #[test]
    fn blocks_of_templates_in_each_other_are_counted_together() {
        let (begin, end) = ("{{with $}}".repeat(97), "{{end}}".repeat(97));
        let text =
            format!("{{{{define \"x\"}}}}{begin}{{{{template \"x\" $}}}}{end}{{{{end}}}}{{{{template \"x\" .}}}}");
        let said = render(&text);
        assert!(said.ends_with("nested too deeply"), "{said}");
        assert_eq!(render(&format!("{begin}x{end}")), "x");
    }

    #[test]
    fn labels_are_asked_for_and_headings_are_no_data() {
        let labels = json!({"com.example.some-name": "a,b", "x": "y"});
        let data = json!({"Names": "web", "Labels": "…"});
        let template =
            Template::parse("{{.Names | upper}} {{.Label \"com.example.some-name\"}}{{.Label \"none\"}}").unwrap();
        assert_eq!(template.render_with_labels(&data, labels.as_object().unwrap()).unwrap(), "WEB a,b");
        assert_eq!(template.heading(&json!({"Names": "Names"})).unwrap(), "Names some namenone");
    }

    proptest::proptest! {
        #[test]
        fn any_text_is_read_or_refused(text in "([{}.|$()\"` :=a-zA-Z0-9-]|\\{\\{|\\}\\}|range|if|end|json|break|define|template|with|\\.Tags){0,30}") {
            let _ = render(&text);
        }
    }
}
