//! Whom to tell of a hole, in the ELF itself, as explorers look for it (<https://github.com/neodyme-labs/solana-security-txt>): names
//! and values in turn, each ended by a zero byte. A network that deploys under its own key says here how to reach it.

/// Puts the text into the ELF of the program that has this name and lies in this folder: public and of a name that the linker keeps.
#[macro_export]
macro_rules! security_txt {
    ($name:literal, $folder:literal) => {
        const TEXT: &str = concat!(
            "=======BEGIN SECURITY.TXT V1=======\0",
            "name\0",
            $name,
            "\0project_url\0README.md of the repository that this was built from\0",
            "contacts\0other:\"Report a vulnerability\" on the repository's security page\0",
            "policy\0SECURITY.md of the same repository\0",
            "preferred_languages\0en\0",
            "source_code\0",
            $folder,
            " of the same repository\0",
            "=======END SECURITY.TXT V1=======\0",
        );

        #[used]
        #[unsafe(no_mangle)]
        pub static SECURITY_TXT: [u8; TEXT.len()] = {
            let mut bytes = [0; TEXT.len()];
            let mut at = 0;
            while at < bytes.len() {
                bytes[at] = TEXT.as_bytes()[at];
                at += 1;
            }
            bytes
        };
    };
}
