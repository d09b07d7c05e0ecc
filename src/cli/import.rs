//! The flags of `scflow import`.

use std::path::PathBuf;

use crate::io::tenx;
use crate::stages::import::{ImportParams, import};

/// The flags of `scflow import`.
#[derive(Debug, clap::Args)]
pub struct Arguments {
    /// An .h5 file or a folder (matrix.mtx, barcodes.tsv, features.tsv or genes.tsv, also with .gz) of 10x Genomics'
    /// programs, or an .h5ad file of any age.
    #[arg(value_name = "INPUT")]
    input: PathBuf,
    /// File for the cells, in today's encodings of AnnData.
    #[arg(long, short, value_name = "OUT.h5ad")]
    output: PathBuf,
    /// What names the genes; the other becomes a column of var. Symbols if absent.
    #[arg(long, value_enum)]
    names: Option<Names>,
    /// Mark names that occur more than once with -1, -2, …, as scanpy's var_names_make_unique does.
    #[arg(long)]
    unique: bool,
    /// Type of the features that are kept, or `all`; "Gene Expression" if absent and the input tells types.
    #[arg(long, value_name = "TYPE")]
    feature_type: Option<String>,
    /// Genome that is kept, where the input tells genomes; all if absent.
    #[arg(long, value_name = "NAME")]
    genome: Option<String>,
}

/// The words of `--names`.
#[derive(Debug, Clone, Copy, clap::ValueEnum)]
enum Names {
    /// Gene symbols; identifiers go into var["gene_ids"].
    Symbols,
    /// Identifiers; symbols go into var["gene_symbols"].
    Ids,
}

impl Arguments {
    /// Runs the stage.
    pub fn run(self, shared: &super::shared::Shared) -> anyhow::Result<()> {
        let params = ImportParams {
            input: self.input,
            output: self.output,
            names: self.names.map(|names| match names {
                Names::Symbols => tenx::Names::Symbols,
                Names::Ids => tenx::Names::Ids,
            }),
            unique: self.unique,
            feature_type: self.feature_type,
            genome: self.genome,
            force: shared.force,
        };
        import(&params, &|message| shared.say(message))?;
        let output = params.output.display();
        shared.say(format!("wrote {output}\nnext: scflow inspect {output}"));
        Ok(())
    }
}
