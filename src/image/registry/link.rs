//! `Link`: where the next page of a list is (RFC 8288).

/// The target of the link whose relation is `next`.
pub fn next<'h>(fields: impl Iterator<Item = &'h str>) -> Option<&'h str> {
    fields.flat_map(links).find(|(_, parameters)| is_next(parameters)).map(|(target, _)| target)
}

/// `<TARGET>; PARAMETERS, …`
fn links(mut text: &str) -> impl Iterator<Item = (&str, &str)> {
    std::iter::from_fn(move || {
        let (_, rest) = text.split_once('<')?;
        let (target, rest) = rest.split_once('>')?;
        // A comma in quotes is none, but no parameter of theirs has one; the next target starts with its bracket.
        let end = rest.find('<').unwrap_or(rest.len());
        let (parameters, after) = rest.split_at(end);
        text = after;
        Some((target, parameters))
    })
}

fn is_next(parameters: &str) -> bool {
    parameters.split([';', ',']).any(|parameter| {
        let Some((name, value)) = parameter.split_once('=') else { return false };
        let mut relations = value.trim().trim_matches('"').split_ascii_whitespace();
        name.trim().eq_ignore_ascii_case("rel") && relations.any(|relation| relation.eq_ignore_ascii_case("next"))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_next_page_is_followed() {
        for (text, wanted) in [
            (r#"</v2/a/tags/list?last=x&n=2>; rel="next""#, Some("/v2/a/tags/list?last=x&n=2")),
            ("<https://h/?a,b>;REL=next", Some("https://h/?a,b")),
            (r#"</p>; rel="prev", </n>; title="a,b"; rel="last next""#, Some("/n")),
            (r#"</p>; rel="prev""#, None),
            ("</unclosed; rel=next", None),
            ("", None),
        ] {
            assert_eq!(next([text].into_iter()), wanted, "{text}");
        }
        assert_eq!(next(["</a>; rel=prev", "</b>; rel=next"].into_iter()), Some("/b"));
    }
}
