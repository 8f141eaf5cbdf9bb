//! What a job file may hold, as a JSON schema (draft 7) for editors.
//!
//! clap knows the names, help and choices of a struct of parameters; which kinds of value a key takes is found out by
//! offering it some, so that the schema says what the file's reader does and nothing else. The reader is `parameters`.

use super::entry::Entry;
use super::options::Options;
use clap::{Arg, Args, Command};
use serde::de::DeserializeOwned;
use serde_json::{Map, Value as Json, json};
use toml::{Table, Value};

/// Texts of which some key takes one and not the others.
const TEXTS: [&str; 6] = ["x", "1", "10min", "1,2,3", "auto", "x.h5:/x"];

/// The JSON schema of a job file for these kernels; `slurm` is that of its table `[slurm]`.
pub fn schema(kernels: &[Entry], slurm: Json) -> Json {
    let names: Vec<&str> = kernels.iter().map(|entry| entry.name).collect();
    let definitions: Map<String, Json> =
        kernels.iter().map(|entry| (entry.name.to_string(), entry.schema())).collect();
    let refer = |name: &str| json!({ "$ref": format!("#/definitions/{name}") });
    let (parameters, cases) = match names[..] {
        [name] => (refer(name), Vec::new()),
        _ => (
            json!({ "type": "object" }),
            kernels
                .iter()
                .map(|entry| {
                    json!({
                        "if": { "properties": { "kernel": { "const": entry.name } }, "required": ["kernel"] },
                        "then": { "properties": { "parameters": refer(entry.name) } },
                    })
                })
                .collect(),
        ),
    };
    let mut schema = json!({
        "$schema": "http://json-schema.org/draft-07/schema#",
        "title": "Rankine job file",
        "type": "object",
        "additionalProperties": false,
        "properties": {
            "include": {
                "description": "Other job files, relative to this one; what is here overrides them",
                "type": ["array", "string"],
                "items": { "type": "string" },
            },
            "kernel": { "description": "The kernel", "type": "string", "enum": names },
            "parameters": parameters,
            "run": schema_of::<Options>(),
            "slurm": slurm,
        },
    });
    if !cases.is_empty() {
        schema["allOf"] = cases.into();
    }
    schema["definitions"] = definitions.into();
    schema
}

/// The JSON schema of a table of a job file that holds the parameters `P`.
pub fn schema_of<P: Args + DeserializeOwned>() -> Json {
    let command = P::augment_args(Command::new(""));
    let (mut properties, mut patterns) = (Map::new(), Map::new());
    for arg in command.get_arguments() {
        let name = arg.get_id().as_str();
        let schema = of_key::<P>(arg, name);
        // With hyphens the key is the same, but no editor need offer it twice.
        if name.contains('_') {
            patterns.insert(format!("^{}$", name.replace('_', "[-_]")), schema.clone());
        }
        properties.insert(name.to_string(), schema);
    }
    let mut schema = json!({ "type": "object", "additionalProperties": false, "properties": properties });
    if !patterns.is_empty() {
        schema["patternProperties"] = patterns.into();
    }
    schema
}

fn of_key<P: DeserializeOwned>(arg: &Arg, name: &str) -> Json {
    // serde looks at what is there before it misses anything.
    let takes = |value: Value| {
        let table: Table = [(name.to_string(), value)].into_iter().collect();
        match table.try_into::<P>() {
            Ok(_) => true,
            Err(error) => error.message().starts_with("missing field"),
        }
    };
    let mut kinds = Vec::new();
    let plain = |value: Value| value;
    if takes(true.into()) {
        kinds.push(json!({ "type": "boolean" }));
    }
    kinds.extend(number(&takes, plain));
    kinds.extend(text(arg, &takes, plain));
    for length in 1..=4 {
        let list = |value: Value| Value::Array(vec![value; length]);
        let item = number(&takes, list).or_else(|| text(arg, &takes, list));
        let Some(item) = item else { continue };
        // Any length, or this one alone.
        let mut kind = json!({ "type": "array", "items": item });
        let other = number(&takes, |value| Value::Array(vec![value; 5 + length]))
            .or_else(|| text(arg, &takes, |value| Value::Array(vec![value; 5 + length])));
        if other.is_none() {
            kind["minItems"] = length.into();
            kind["maxItems"] = length.into();
        }
        kinds.push(kind);
        if other.is_some() {
            break;
        }
    }
    let mut schema = match kinds.len() {
        0 => json!({}),
        1 => kinds.remove(0),
        _ => json!({ "anyOf": kinds }),
    };
    if let Some(help) = arg.get_help() {
        schema["description"] = help.to_string().into();
    }
    let defaults: Vec<_> = arg.get_default_values().iter().map(|value| value.to_string_lossy()).collect();
    if !defaults.is_empty() && arg.get_action().takes_values() {
        let text = defaults.join(",");
        // A number where the key takes one, so that editors can put it in.
        schema["default"] = match text.parse::<Json>() {
            Ok(number) if number.is_number() && schema["type"] != "string" => number,
            _ => text.into(),
        };
    }
    schema
}

fn number(takes: &impl Fn(Value) -> bool, wrap: impl Fn(Value) -> Value) -> Option<Json> {
    let takes = |value: Value| takes(wrap(value));
    if takes(0.5.into()) {
        return Some(json!({ "type": "number" }));
    }
    let integers: Vec<i64> = [-1, 0, 1].into_iter().filter(|n| takes((*n).into())).collect();
    let mut kind = json!({ "type": "integer" });
    match integers.first() {
        None => return None,
        Some(-1) => {}
        Some(least) => kind["minimum"] = (*least).into(),
    }
    Some(kind)
}

fn text(arg: &Arg, takes: &impl Fn(Value) -> bool, wrap: impl Fn(Value) -> Value) -> Option<Json> {
    let takes = |text: &str| takes(wrap(Value::String(text.to_string())));
    let choices: Vec<String> =
        arg.get_possible_values().iter().map(|value| value.get_name().to_string()).collect();
    if !choices.is_empty() && arg.get_action().takes_values() {
        let choices: Vec<String> = choices.into_iter().filter(|choice| takes(choice)).collect();
        return (!choices.is_empty()).then(|| json!({ "type": "string", "enum": choices }));
    }
    TEXTS.iter().any(|text| takes(text)).then(|| json!({ "type": "string" }))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde::{Deserialize, Serialize};

    #[derive(clap::Args, Serialize, Deserialize)]
    struct Sample {
        /// Steps to do
        #[arg(long, default_value_t = 10)]
        steps: u64,
        #[arg(long)]
        offset: Option<i32>,
        #[arg(long)]
        wall_value: Option<f64>,
        #[arg(long, value_delimiter = ',', default_value = "1,2")]
        weights: Vec<f64>,
        #[arg(long)]
        quick: bool,
        #[arg(long, value_enum)]
        color: Color,
        #[arg(long)]
        name: String,
    }

    #[derive(Clone, Copy, clap::ValueEnum, Serialize, Deserialize)]
    #[serde(rename_all = "kebab-case")]
    enum Color {
        Red,
        DarkBlue,
    }

    #[test]
    fn every_key_has_the_kinds_of_value_that_the_reader_takes() {
        let schema = schema_of::<Sample>();
        assert_eq!(
            schema["properties"],
            json!({
                "steps": { "type": "integer", "minimum": 0, "description": "Steps to do", "default": 10 },
                "offset": { "type": "integer" },
                "wall_value": { "type": "number" },
                "weights": { "type": "array", "items": { "type": "number" }, "default": "1,2" },
                "quick": { "type": "boolean" },
                "color": { "type": "string", "enum": ["red", "dark-blue"] },
                "name": { "type": "string" },
            })
        );
        assert_eq!(schema["patternProperties"]["^wall[-_]value$"], json!({ "type": "number" }));
        assert_eq!(schema["additionalProperties"], false);
    }

    #[test]
    fn options_with_readers_of_their_own_are_probed() {
        let keys = &schema_of::<Options>()["properties"];
        let kinds = |key: &str| keys[key]["anyOf"].as_array().map_or(1, Vec::len);
        assert_eq!((kinds("checkpoint_every"), keys["time_limit"]["type"].as_str()), (2, Some("string")));
        assert_eq!(keys["checkpoint_every"]["anyOf"][0], json!({ "type": "integer", "minimum": 1 }));
        assert!(keys["ranks"]["description"].as_str().is_some_and(|text| text.starts_with("Ranks")));
        assert!(keys.get("job").is_none());
    }
}
