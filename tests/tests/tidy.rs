//! Rules that every file of the repository keeps.

use std::collections::BTreeSet;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

/// Lines of the longest source file, its tests not counted: what a reader can hold in one sitting.
const MAX_LINES: usize = 450;
const TESTS_BEGIN: &str = "#[cfg(test)]";

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap_or(Path::new("."))
}

/// A file of the repository.
struct Source {
    /// From the repository's top folder.
    path: PathBuf,
    text: String,
}

impl Source {
    fn is_test(&self) -> bool {
        self.path.components().any(|part| part.as_os_str() == "tests")
    }
}

/// All files whose names end so, hidden and built ones aside.
fn sources(extensions: &[&str]) -> io::Result<Vec<Source>> {
    let mut found = Vec::new();
    let mut folders = vec![root().to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder)? {
            let path = entry?.path();
            if path.is_dir() {
                folders.extend(is_ours(&path).then_some(path));
            } else if path.extension().is_some_and(|e| extensions.iter().any(|wanted| e == *wanted)) {
                let text = fs::read_to_string(&path)?;
                found.push(Source { path: path.strip_prefix(root()).unwrap_or(&path).to_owned(), text });
            }
        }
    }
    assert!(!found.is_empty(), "no {extensions:?} below {}", root().display());
    Ok(found)
}

fn is_ours(folder: &Path) -> bool {
    folder.file_name().is_some_and(|name| name != "target" && !name.to_string_lossy().starts_with('.'))
}

/// Fails with what broke a rule, one a line.
fn assert_none(rule: &str, broken: BTreeSet<String>) {
    let list: Vec<_> = broken.into_iter().collect();
    assert!(list.is_empty(), "{rule}:\n  {}", list.join("\n  "));
}

#[test]
fn no_source_file_is_too_long_to_read() -> io::Result<()> {
    let own_lines =
        |source: &Source| source.text.lines().take_while(|line| !line.starts_with(TESTS_BEGIN)).count();
    let sources = sources(&["rs", "py"])?;
    let long = sources.iter().filter(|source| !source.is_test() && own_lines(source) > MAX_LINES);
    let long = long.map(|source| format!("{}: {}", source.path.display(), own_lines(source)));
    assert_none("split these, each by what it owns", long.collect());
    Ok(())
}

#[test]
fn nothing_waits_to_be_done() -> io::Result<()> {
    let notes = [concat!("TO", "DO"), concat!("FIX", "ME")];
    let sources = sources(&["rs", "py", "proto", "sh", "toml", "md"])?;
    let left = sources.iter().filter(|source| notes.iter().any(|note| source.text.contains(note)));
    assert_none("do these, or open an issue", left.map(|source| source.path.display().to_string()).collect());
    Ok(())
}

#[test]
fn every_rust_file_says_what_it_is() -> io::Result<()> {
    let sources = sources(&["rs"])?;
    let mute = sources.iter().filter(|source| !source.text.starts_with("//! "));
    assert_none("these begin without `//!`", mute.map(|source| source.path.display().to_string()).collect());
    Ok(())
}

#[test]
fn every_link_to_a_file_of_ours_leads_somewhere() -> io::Result<()> {
    let mut broken = BTreeSet::new();
    for page in sources(&["md"])? {
        let folder = root().join(&page.path);
        let folder = folder.parent().unwrap_or(root());
        let dead = local_links(&page.text).filter(|link| !folder.join(link).exists());
        broken.extend(dead.map(|link| format!("{}: {link}", page.path.display())));
    }
    assert_none("these links lead nowhere", broken);
    Ok(())
}

/// Paths that a Markdown page links to, without their fragments; code blocks are not looked into.
fn local_links(page: &str) -> impl Iterator<Item = &str> {
    let prose = page.split("```").step_by(2);
    let targets = prose.flat_map(|text| text.split("](").skip(1)).filter_map(|rest| rest.split(')').next());
    let paths = targets.filter_map(|target| target.split('#').next());
    paths.filter(|path| !path.is_empty() && !path.contains("://") && !path.starts_with("mailto:"))
}

#[test]
fn links_are_found_in_prose_and_not_in_code() {
    let page = "[a](one.md#top) [b](https://two) [c](#three)\n```rust\nx[0](four)\n```\n![d](five/)";
    assert_eq!(local_links(page).collect::<Vec<_>>(), ["one.md", "five/"]);
}

#[test]
fn every_file_on_the_map_is_there() -> io::Result<()> {
    let map = fs::read_to_string(root().join("ARCHITECTURE.md"))?;
    let files: Vec<_> =
        sources(&["rs", "py", "proto", "md"])?.into_iter().map(|source| source.path).collect();
    // Sections about one crate name its files from their own folder on.
    let is_there = |path: &str| root().join(path).exists() || files.iter().any(|file| file.ends_with(path));
    let is_source = |code: &&str| Path::new(code).extension().is_some_and(|end| end == "rs" || end == "py");
    let named = map.split('`').skip(1).step_by(2).filter(is_source);
    assert_none("ARCHITECTURE.md names", named.filter(|path| !is_there(path)).map(str::to_owned).collect());
    Ok(())
}

/// The page that says which test proves what.
const GUARANTEES: &str = "docs/guarantees.md";

#[test]
fn every_test_that_proves_a_guarantee_exists() -> io::Result<()> {
    let page = fs::read_to_string(root().join(GUARANTEES))?;
    let tests: BTreeSet<String> =
        sources(&["rs", "py"])?.iter().flat_map(|source| tests(&source.text)).collect();
    let missing = proofs(&page).filter(|name| !tests.contains(*name)).map(str::to_owned);
    assert_none("docs/guarantees.md names tests that are not there", missing.collect());
    Ok(())
}

#[test]
fn every_hazard_has_a_proof() -> io::Result<()> {
    let page = fs::read_to_string(root().join(GUARANTEES))?;
    let rows = page.lines().filter(|line| line.starts_with("| ") && !line.starts_with("| hazard"));
    let bare = rows.filter(|row| proofs(row).next().is_none()).map(str::to_owned);
    assert_none("docs/guarantees.md names no test for these", bare.collect());
    Ok(())
}

/// What stands as code in the last cells of a page's tables.
fn proofs(page: &str) -> impl Iterator<Item = &str> {
    let rows = page.lines().filter(|line| line.starts_with("| "));
    let cells = rows.filter_map(|row| row.trim_end_matches([' ', '|']).rsplit('|').next());
    cells.flat_map(|cell| cell.split('`').skip(1).step_by(2))
}

/// Names of the tests in a file: what is marked so in Rust, or within `proptest!`, and `test_` functions in Python.
fn tests(text: &str) -> Vec<String> {
    let mut names = Vec::new();
    let mut is_marked = false;
    for line in text.lines().map(str::trim_start) {
        let name = |after: &str| after.split(['(', '<']).next().unwrap_or_default().to_owned();
        if let Some(after) = line.strip_prefix("def test_") {
            names.push(format!("test_{}", name(after)));
        } else if let Some(after) = line.strip_prefix("fn ").or_else(|| line.strip_prefix("async fn ")) {
            names.extend(is_marked.then(|| name(after)));
            is_marked = false;
        } else if line.starts_with("#[test]") || line.starts_with("#[tokio::test") {
            is_marked = true;
        }
    }
    names
}

#[test]
fn proofs_and_tests_are_found_where_they_are() {
    let page = "| a | `not_this` | `one`, `two` |\n| b | c | |\nand `not_that`";
    assert_eq!(proofs(page).collect::<Vec<_>>(), ["one", "two"]);
    let source = "#[test]\n#[ignore]\nfn one() {\nfn helper() {\n#[tokio::test]\n    async fn two() {\ndef test_three(self):";
    assert_eq!(tests(source), ["one", "two", "test_three"]);
}
