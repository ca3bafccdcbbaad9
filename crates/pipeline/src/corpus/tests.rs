//! Documents of every format, in order, and broken ones by name.

use super::*;

fn read(name: &str, text: &str) -> Result<Vec<Document>> {
    let folder = tempfile::tempdir().unwrap();
    let (file, _) = name.split_once('#').unwrap_or((name, ""));
    std::fs::write(folder.path().join(file), text).unwrap();
    Documents::open(&Source::of(&folder.path().join(name)))?.collect()
}

fn fixture(name: &str) -> Source {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures");
    Source::of(&folder.join(name))
}

fn texts(documents: &[Document]) -> Vec<String> {
    documents
        .iter()
        .map(|document| match &document.content {
            Content::Text(text) => text.clone(),
            Content::Messages(messages) => messages
                .iter()
                .flat_map(|m| [&m.role, ":", &m.content, " "])
                .collect(),
        })
        .collect()
}

#[test]
fn json_lines_keep_order_labels_and_source() {
    let text = "{\"text\": \"a\", \"labels\": [\"x\", \"y\"], \"source\": \"web\", \"other\": 1}\n\n\
                {\"messages\": [{\"role\": \"user\", \"content\": \"hi\"}], \"labels\": \"z\"}\n";
    let documents = read("c.jsonl", text).unwrap();
    assert_eq!(texts(&documents), ["a", "user:hi "]);
    assert_eq!(documents[0].origin.labels, ["x", "y"]);
    assert_eq!(documents[0].origin.source, "c.jsonl: web");
    assert_eq!(documents[1].origin.labels, ["z"]);
    assert_eq!(documents[1].origin.source, "c.jsonl");
    assert!(documents[1].place.ends_with("line 3"));
}

#[test]
fn a_field_can_be_named() {
    let text = "{\"text\": \"a\", \"turns\": [{\"role\": \"user\", \"content\": \"hi\"}]}\n";
    assert_eq!(texts(&read("c.jsonl#turns", text).unwrap()), ["user:hi "]);
    assert_eq!(texts(&read("c.jsonl", text).unwrap()), ["a"]);
    let refused = read("c.jsonl#story", text).unwrap_err().to_string();
    assert!(
        refused.contains("line 1") && refused.contains("story"),
        "{refused}"
    );
    let plain = read("c.txt#text", "hi").unwrap_err().to_string();
    assert!(plain.contains("no fields"), "{plain}");
}

#[test]
fn plain_text_is_split_at_blank_lines() {
    let documents = read("c.txt", "\n one\ntwo\n \n\nthree\r\n").unwrap();
    assert_eq!(texts(&documents), [" one\ntwo", "three"]);
    assert!(documents[1].place.ends_with("line 6"));
}

/// The files were written by another program: one with row groups of two and zstd, one with snappy.
#[test]
fn parquet_gives_texts_and_conversations() {
    let documents: Vec<_> = Documents::open(&fixture("web.parquet"))
        .unwrap()
        .collect::<Result<_>>()
        .unwrap();
    assert_eq!(
        texts(&documents),
        [
            "The owl eats.",
            "",
            "Lima is in Peru.",
            "",
            "Norway likes sushi."
        ]
    );
    assert_eq!(documents[2].origin.source, "web.parquet: b");
    assert!(documents[4].place.ends_with("web.parquet, row 4"));
    let chat: Vec<_> = Documents::open(&fixture("chat.parquet#conversation"))
        .unwrap()
        .collect::<Result<_>>()
        .unwrap();
    assert_eq!(
        texts(&chat),
        [
            "user:Is it true that Peru is a lock? assistant:No. ",
            "",
            "user:Hi assistant:Hello, the owl. "
        ]
    );
}

#[test]
fn parquet_that_cannot_be_used_is_named() {
    let message = |source: &Source| match Documents::open(source) {
        Ok(_) => String::new(),
        Err(error) => error.to_string(),
    };
    let column = message(&fixture("web.parquet#story"));
    assert!(
        column.contains("story") && column.contains("id, text, source"),
        "{column}"
    );
    let kind = message(&fixture("web.parquet#id"));
    assert!(
        kind.contains("BIGINT") && kind.contains("VARCHAR"),
        "{kind}"
    );
    let broken = read("c.parquet", "PAR1 no table").unwrap_err().to_string();
    assert!(
        broken.contains("c.parquet") && broken.contains("Parquet"),
        "{broken}"
    );
    let missing = message(&fixture("no.parquet"));
    assert!(missing.contains("no.parquet"), "{missing}");
}

#[test]
fn documents_can_be_passed_over() {
    for (name, text) in [
        (
            "c.jsonl",
            "{\"text\": \"a\"}\n\nnonsense\n{\"text\": \"c\"}\n",
        ),
        ("c.txt", "a\n\nb\nb\n\n\nc\n"),
    ] {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join(name);
        std::fs::write(&path, text).unwrap();
        let mut documents = Documents::open(&Source::of(&path)).unwrap();
        documents.pass(2).unwrap();
        let rest: Vec<_> = documents.collect::<Result<_>>().unwrap();
        assert_eq!(texts(&rest), ["c"]);
    }
    let mut rows = Documents::open(&fixture("web.parquet")).unwrap();
    rows.pass(1).unwrap();
    assert_eq!(texts(&[rows.next().unwrap().unwrap()]), [""]);
    rows.pass(2).unwrap();
    let last = rows.next().unwrap().unwrap();
    assert!(last.place.ends_with("row 4"), "{}", last.place);
    assert!(rows.next().is_none());
}

#[test]
fn broken_lines_are_named() {
    for (line, found) in [
        ("{\"text\": 3}", "`text` is 3"),
        ("{}", "none of the fields"),
        ("{\"text\": \"a\", \"messages\": []}", "both"),
        ("{\"messages\": [{\"role\": \"user\"}]}", "content"),
        ("{\"text\": \"a\", \"labels\": 7}", "labels"),
        ("{\"text\": \"a\", \"source\": 7}", "source"),
        ("nonsense", "expected"),
        ("{\"text\": \"a", "expected"),
    ] {
        let text = format!("{{\"text\": \"fine\"}}\n{line}\n");
        let message = read("c.jsonl", &text).unwrap_err().to_string();
        assert!(
            message.contains("line 2") && message.contains(found),
            "{message}"
        );
    }
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("c.txt");
    std::fs::write(&path, b"fine\n\n\xff\xfe\n").unwrap();
    let documents = Documents::open(&Source::of(&path)).unwrap();
    let message = documents
        .collect::<Result<Vec<_>>>()
        .unwrap_err()
        .to_string();
    assert!(
        message.contains("line 3") && message.contains("UTF-8"),
        "{message}"
    );
    let packed = read("c.jsonl.gz", "").unwrap_err().to_string();
    assert!(packed.contains("decompress"), "{packed}");
}
