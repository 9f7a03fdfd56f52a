//! Writing HTML: escaping, and the little markup that descriptions use.

/// A page being written.
#[derive(Debug, Default)]
pub(crate) struct Markup(String);

impl Markup {
    /// Adds what is HTML already.
    pub(crate) fn raw(&mut self, html: &str) {
        self.0.push_str(html);
    }

    /// The page.
    pub(crate) fn finish(self) -> String {
        self.0
    }
}

/// Text as HTML.
pub(crate) fn escaped(text: &str) -> String {
    let mut html = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            '&' => html.push_str("&amp;"),
            '<' => html.push_str("&lt;"),
            '>' => html.push_str("&gt;"),
            '\'' => html.push_str("&#39;"),
            '"' => html.push_str("&quot;"),
            other => html.push(other),
        }
    }
    html
}

/// A description on one line: text between backticks is code, and links of doc comments are only their words.
pub(crate) fn inline(text: &str) -> String {
    let plain = text.replace("[`", "`").replace("`]", "`");
    let mut html = String::new();
    for (index, part) in plain.split('`').enumerate() {
        if index % 2 == 1 {
            html.push_str(&format!("<code>{}</code>", escaped(part)));
        } else {
            html.push_str(&escaped(part));
        }
    }
    html
}

/// A description in paragraphs.
pub(crate) fn prose(text: &str) -> String {
    let paragraphs = text.split("\n\n").filter(|paragraph| !paragraph.trim().is_empty());
    paragraphs
        .map(|paragraph| format!("<p>{}</p>", inline(paragraph)))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_cannot_become_markup() {
        assert_eq!(
            inline("<b> `x<y` & 'z'"),
            "&lt;b&gt; <code>x&lt;y</code> &amp; &#39;z&#39;"
        );
    }

    #[test]
    fn links_of_doc_comments_are_their_words() {
        assert_eq!(inline("a [`Failure`]."), "a <code>Failure</code>.");
    }
}
