//! The name somebody probably meant.

/// The nearest of `known` to `word`, if it is near enough to be a slip of the keyboard.
pub fn nearest<'k>(word: &str, known: impl IntoIterator<Item = &'k str>) -> Option<&'k str> {
    let plain = |name: &str| name.to_lowercase().replace('-', "_");
    let word = plain(word);
    let (name, likeness) = known
        .into_iter()
        .map(|name| (name, strsim::jaro_winkler(&word, &plain(name))))
        .max_by(|a, b| a.1.total_cmp(&b.1))?;
    (likeness > 0.7).then_some(name)
}

#[cfg(test)]
mod tests {
    use super::nearest;

    #[test]
    fn slips_are_recognised_and_other_words_are_not() {
        let known = ["heat3d", "wave", "steps", "wall_value"];
        assert_eq!(nearest("haet3d", known), Some("heat3d"));
        assert_eq!(nearest("step", known), Some("steps"));
        assert_eq!(nearest("wall-valeu", known), Some("wall_value"));
        assert_eq!(nearest("qqq", known), None);
        assert_eq!(nearest("x", []), None);
    }
}
