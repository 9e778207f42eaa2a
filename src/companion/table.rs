//! Lists: in columns, by a template, or as JSON, as docker's `--format` wants them.

use std::fmt::Write as _;

use anyhow::Result;
use serde_json::{Map, Value};

use super::template::Template;

/// A column: the name that templates use, and the heading.
pub type Column = (&'static str, &'static str);

/// Renders rows. Without a format they are a table of some columns; `all` are those that a template may name in a table's heading.
pub fn render(rows: &[Map<String, Value>], format: Option<&str>, columns: &[&str], all: &[Column]) -> Result<String> {
    let rows: Vec<Row> = rows.iter().map(Row::new).collect();
    match format {
        Some("json") => {
            let lines = rows.iter().map(|row| serde_json::to_string(&row.cells).map(|line| line + "\n"));
            Ok(lines.collect::<Result<String, _>>()?)
        }
        None | Some("" | "table") => {
            let cells = columns.iter().map(|name| format!("{{{{.{name}}}}}")).collect::<Vec<_>>().join("\t");
            tabular(&rows, &cells, all)
        }
        Some(format) => match format.strip_prefix("table ") {
            Some(cells) => tabular(&rows, cells, all),
            None => {
                let template = Template::parse(&unescaped(format))?;
                rows.iter().map(|row| Ok(row.render(&template)? + "\n")).collect()
            }
        },
    }
}

/// A row as it is shown, and the labels by themselves for `{{.Label "KEY"}}`.
struct Row {
    cells: Value,
    labels: Map<String, Value>,
}

impl Row {
    /// Labels that are a map are shown as `a=b,c=d`.
    fn new(row: &Map<String, Value>) -> Row {
        let mut cells = row.clone();
        let labels = match cells.get("Labels") {
            Some(Value::Object(labels)) => labels.clone(),
            _ => return Row { cells: cells.into(), labels: Map::new() },
        };
        let pairs = labels.iter().map(|(key, value)| format!("{key}={}", value.as_str().unwrap_or_default()));
        cells.insert("Labels".into(), pairs.collect::<Vec<_>>().join(",").into());
        Row { cells: cells.into(), labels }
    }

    fn render(&self, template: &Template) -> Result<String> {
        template.render_with_labels(&self.cells, &self.labels)
    }
}

fn tabular(rows: &[Row], cells: &str, all: &[Column]) -> Result<String> {
    let template = Template::parse(&unescaped(cells))?;
    let heading = all.iter().map(|(name, heading)| ((*name).to_owned(), Value::from(*heading))).collect();
    let mut lines = vec![template.heading(&Value::Object(heading))?];
    for row in rows {
        lines.push(row.render(&template)?);
    }
    Ok(aligned(&lines, NARROWEST))
}

/// Lets `\t` and `\n` be written out, as docker does; what is between braces has quoting of its own.
fn unescaped(format: &str) -> String {
    let texts = |text: &str| text.replace("\\t", "\t").replace("\\n", "\n");
    let mut parts = format.split("{{");
    let mut whole = parts.next().map(texts).unwrap_or_default();
    for part in parts {
        let (inside, after) = part.split_once("}}").map_or((part, None), |(inside, after)| (inside, Some(after)));
        whole += "{{";
        whole += inside;
        if let Some(after) = after {
            whole += "}}";
            whole += &texts(after);
        }
    }
    whole
}

/// What a column of a list takes at least.
const NARROWEST: usize = 10;

/// Columns that tabs divide, three blanks apart, and so wide at least.
pub fn aligned(lines: &[String], narrowest: usize) -> String {
    let rows: Vec<Vec<&str>> = lines.iter().map(|line| line.split('\t').collect()).collect();
    let count = rows.iter().map(Vec::len).max().unwrap_or(0);
    let width = |column: usize| rows.iter().filter_map(|row| row.get(column)).map(|cell| cell.chars().count()).max();
    let widths: Vec<usize> = (0..count).map(|column| narrowest.max(width(column).unwrap_or(0) + 3)).collect();
    let mut text = String::new();
    for row in rows {
        let last = row.len() - 1;
        for (column, cell) in row.iter().enumerate() {
            let width = if column == last { 0 } else { widths[column] };
            // Writing to a String can't fail.
            let _ = write!(text, "{cell:width$}");
        }
        text.push('\n');
    }
    text
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    const ALL: &[Column] = &[("ID", "IMAGE ID"), ("Size", "SIZE")];

    fn rows() -> Vec<Map<String, Value>> {
        let rows = [json!({"ID": "abc", "Size": "1MB"}), json!({"ID": "longer-than-that", "Size": "2kB"})];
        rows.map(|row| row.as_object().unwrap().clone()).to_vec()
    }

    #[test]
    fn the_forms_of_a_list() {
        let of = |format| render(&rows(), format, &["ID", "Size"], ALL).unwrap();
        let table = "IMAGE ID           SIZE\nabc                1MB\nlonger-than-that   2kB\n";
        assert_eq!(of(None), table);
        assert_eq!(of(Some("table {{.ID}}\\t{{.Size}}")), table);
        assert_eq!(of(Some("{{.Size}}!")), "1MB!\n2kB!\n");
        assert_eq!(of(Some("{{.Size}}\\t{{\"\\t\"}}\\n.")), "1MB\t\t\n.\n2kB\t\t\n.\n");
        assert_eq!(of(Some("json")).lines().next(), Some(r#"{"ID":"abc","Size":"1MB"}"#));
        assert!(render(&rows(), Some("{{.ID"), &[], ALL).is_err());
        let error = render(&rows(), Some("{{.Nothing}}"), &[], ALL).unwrap_err();
        assert!(format!("{error:#}").contains("Nothing"));
    }
}
