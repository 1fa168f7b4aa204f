//! Languages by the ids that editors give them (VS Code's "Language Identifiers"), in lower case.

/// Longest name that is taken for a language.
const LONGEST: usize = 64;

/// Languages and the ends of their files' names.
const EXTENSIONS: &[(&str, &[&str])] = &[
    ("bat", &["bat", "cmd"]),
    ("c", &["c"]),
    ("clojure", &["clj", "cljs", "cljc", "edn"]),
    ("cpp", &["cc", "cpp", "cxx", "c++", "h", "hh", "hpp", "hxx", "ino"]),
    ("csharp", &["cs", "csx"]),
    ("css", &["css"]),
    ("cuda-cpp", &["cu", "cuh"]),
    ("dart", &["dart"]),
    ("dockerfile", &["dockerfile"]),
    ("elixir", &["ex", "exs"]),
    ("erlang", &["erl", "hrl"]),
    ("fsharp", &["fs", "fsi", "fsx"]),
    ("go", &["go"]),
    ("graphql", &["gql", "graphql"]),
    ("groovy", &["gradle", "groovy"]),
    ("haskell", &["hs"]),
    ("html", &["htm", "html", "xhtml"]),
    ("ini", &["ini", "cfg", "conf"]),
    ("java", &["java"]),
    ("javascript", &["cjs", "js", "mjs"]),
    ("javascriptreact", &["jsx"]),
    ("json", &["json"]),
    ("jsonc", &["jsonc"]),
    ("jupyter", &["ipynb"]),
    ("julia", &["jl"]),
    ("kotlin", &["kt", "kts"]),
    ("latex", &["tex"]),
    ("less", &["less"]),
    ("lua", &["lua"]),
    ("makefile", &["mk"]),
    ("markdown", &["markdown", "md"]),
    ("objective-c", &["m"]),
    ("objective-cpp", &["mm"]),
    ("ocaml", &["ml", "mli"]),
    ("perl", &["pl", "pm"]),
    ("php", &["php"]),
    ("plaintext", &["txt"]),
    ("powershell", &["ps1", "psd1", "psm1"]),
    ("properties", &["properties"]),
    ("proto3", &["proto"]),
    ("python", &["py", "pyi", "pyw"]),
    ("r", &["r"]),
    ("razor", &["cshtml", "razor"]),
    ("ruby", &["gemspec", "rake", "rb"]),
    ("rust", &["rs"]),
    ("sass", &["sass"]),
    ("scala", &["scala", "sbt", "sc"]),
    ("scss", &["scss"]),
    ("shellscript", &["bash", "ksh", "sh", "zsh"]),
    ("sql", &["sql"]),
    ("svelte", &["svelte"]),
    ("swift", &["swift"]),
    ("terraform", &["tf", "tfvars"]),
    ("toml", &["toml"]),
    ("typescript", &["cts", "mts", "ts"]),
    ("typescriptreact", &["tsx"]),
    ("vb", &["vb"]),
    ("vue", &["vue"]),
    ("xml", &["csproj", "svg", "xaml", "xml", "xsd", "xsl"]),
    ("yaml", &["yaml", "yml"]),
    ("zig", &["zig"]),
];

/// A language's name in lower case; none where it says nothing or is too long for a name.
pub(super) fn named(text: &str) -> Option<String> {
    let name = text.trim().to_lowercase();
    (!name.is_empty() && name.len() <= LONGEST).then_some(name)
}

/// The language of a file, from the end of its name.
pub(super) fn of_path(path: &str) -> Option<&'static str> {
    let name = path.trim().rsplit(['/', '\\']).next()?.to_ascii_lowercase();
    match name.as_str() {
        "dockerfile" | "containerfile" => Some("dockerfile"),
        "makefile" | "gnumakefile" => Some("makefile"),
        _ => of_extension(name.rsplit_once('.')?.1),
    }
}

fn of_extension(extension: &str) -> Option<&'static str> {
    EXTENSIONS.iter().find(|(_, extensions)| extensions.contains(&extension)).map(|(language, _)| *language)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_tells_its_language_by_its_name() {
        for (path, language) in [
            ("/work/src/main.rs", "rust"),
            (r"C:\Work\App.TSX", "typescriptreact"),
            ("a.b.ts", "typescript"),
            ("scripts/build.py ", "python"),
            ("/x/Dockerfile", "dockerfile"),
        ] {
            assert_eq!(of_path(path), Some(language), "{path}");
        }
        for path in ["", "/", "README", "a.unheard", "src.rs/", ".rs/x", "."] {
            assert_eq!(of_path(path), None, "{path}");
        }
    }

    #[test]
    fn names_are_short_and_in_lower_case() {
        assert_eq!(named(" Python ").as_deref(), Some("python"));
        assert_eq!(named(" "), None);
        assert_eq!(named(&"x".repeat(65)), None);
    }
}
