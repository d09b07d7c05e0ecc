//! The flags of `scflow language`.

use std::io::Write;
use std::path::PathBuf;

use super::fit_names::{DeviceName, WeightsIn};
use crate::stages::language::{LanguageParams, Reading, Word, language};

/// The flags of `scflow language`.
#[derive(Debug, clap::Args)]
pub struct Arguments {
    /// Folder of a causal language model: config.json, *.safetensors, tokenizer.json.
    #[arg(value_name = "FOLDER")]
    folder: PathBuf,
    /// Text to read; may be repeated.
    #[arg(long = "text", value_name = "TEXT", required_unless_present = "ids", conflicts_with = "ids")]
    texts: Vec<String>,
    /// Token ids to read in the place of a text, such as 1,2,3; may be repeated.
    #[arg(long, value_name = "IDS")]
    ids: Vec<Ids>,
    /// How many next tokens to print.
    #[arg(long, value_name = "N", default_value_t = 5)]
    top: usize,
    /// Where the network is computed.
    #[arg(long, value_enum, default_value_t = DeviceName::Auto)]
    device: DeviceName,
    /// How its matrices are held and multiplied: bf16 takes half the memory, and needs a GPU.
    #[arg(long, value_enum, default_value_t = WeightsIn::F32)]
    weights: WeightsIn,
    /// File for `last_hidden_state`, `logits` and `attention_mask`.
    #[arg(long, short, alias = "output", value_name = "HIDDEN.safetensors")]
    out: Option<PathBuf>,
    /// Print everything as JSON.
    #[arg(long)]
    json: bool,
}

/// Token ids with commas between them.
#[derive(Debug, Clone)]
struct Ids(Vec<u32>);

impl std::str::FromStr for Ids {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let id = |part: &str| part.trim().parse().map_err(|_| format!("`{part}` is no token id; write 1,2,3"));
        text.split(',').map(id).collect::<Result<_, _>>().map(Self)
    }
}

impl Arguments {
    /// Runs the stage.
    pub fn run(self, shared: &super::shared::Shared) -> anyhow::Result<()> {
        let params = LanguageParams {
            folder: self.folder,
            texts: self.texts,
            ids: self.ids.into_iter().map(|ids| ids.0).collect(),
            top: self.top,
            device: self.device.into(),
            weights: self.weights.into(),
            output: self.out,
            force: shared.force,
        };
        let readings = language(&params, &|text| shared.say(text))?;
        let mut out = std::io::stdout();
        if self.json {
            writeln!(out, "{}", serde_json::to_string_pretty(&readings)?)?;
        } else {
            readings.iter().try_for_each(|reading| print(&mut out, reading))?;
        }
        if let Some(output) = &params.output {
            shared.say(format!("wrote {}", output.display()));
        }
        Ok(())
    }
}

fn print(out: &mut impl Write, reading: &Reading) -> anyhow::Result<()> {
    let text = |word: &Word| word.text.as_ref().map_or_else(|| Ok("-".into()), serde_json::to_string);
    writeln!(out, "id\ttoken")?;
    for word in &reading.tokens {
        writeln!(out, "{}\t{}", word.id, text(word)?)?;
    }
    writeln!(out, "\nprobability\tid\tnext token")?;
    for (word, probability) in &reading.next {
        writeln!(out, "{probability:.6}\t{}\t{}", word.id, text(word)?)?;
    }
    writeln!(out)?;
    Ok(())
}
