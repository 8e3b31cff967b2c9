//! Quoting for the shell.

/// Appends `value` so that a POSIX shell reads it back as one word with the same bytes.
pub fn quote(value: &[u8], out: &mut Vec<u8>) {
    if !value.is_empty() && value.iter().all(|byte| is_plain(*byte)) {
        out.extend_from_slice(value);
        return;
    }
    out.push(b'\'');
    for byte in value {
        match byte {
            b'\'' => out.extend_from_slice(br"'\''"),
            byte => out.push(*byte),
        }
    }
    out.push(b'\'');
}

/// Whether the byte means nothing to a shell, wherever it stands in a word.
fn is_plain(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"_-+./:,@%".contains(&byte)
}

#[cfg(test)]
mod tests {
    use std::ffi::OsStr;
    use std::os::unix::ffi::OsStrExt as _;
    use std::process::Command;

    use proptest::prelude::*;

    use super::*;

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(50))]

        #[test]
        fn a_shell_reads_back_what_was_quoted(values in prop::collection::vec(prop::collection::vec(1_u8.., 0..20), 1..8)) {
            let mut line = br"printf '%s\0'".to_vec();
            for value in &values {
                line.push(b' ');
                quote(value, &mut line);
            }
            let output = Command::new("/bin/sh").arg("-c").arg(OsStr::from_bytes(&line)).output()?;
            let expected: Vec<u8> = values.iter().flat_map(|value| value.iter().copied().chain([0])).collect();
            prop_assert_eq!(output.stdout, expected);
        }
    }

    #[test]
    fn a_word_that_needs_no_quotes_gets_none() {
        let mut out = Vec::new();
        quote(b"dir/file-1.txt", &mut out);
        assert_eq!(out, b"dir/file-1.txt");
    }
}
