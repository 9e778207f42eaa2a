//! The specification's own JSON schemas, for tests of the documents that we write.

use std::path::Path;

use serde_json::Value;

/// What is wrong with a document by one of the schemas in `tests/data/schema/runtime`.
pub(crate) fn violation(schema: &str, document: &Value) -> Option<String> {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/schema/runtime");
    let location = directory.join(schema);
    let mut schemas = boon::Schemas::new();
    let index = boon::Compiler::new().compile(location.to_str().unwrap(), &mut schemas).unwrap();
    schemas.validate(document, index).err().map(|error| error.to_string())
}
