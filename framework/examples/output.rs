//! Writes a field, reads it back, and draws it: the files of a run, on whatever ranks there are.
//!
//!     output FOLDER [INPUT.h5:/dataset]
//!
//! Without an input it makes a field of its own. It is also how output is tried under `mpirun`: it compares what it
//! reads with what it wrote and fails if they differ.

use rankine::op::Sum;
use rankine::output::picture::{Picture, slices};
use rankine::output::xdmf::Series;
use rankine::output::{InputSpec, Numeric, Reader, Slab, Writer, files};
use rankine::{Comm, Error, Field, Grid, Result};
use std::path::Path;

fn main() -> std::process::ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    rankine::launch::exit(rankine::launch(move |world| {
        let Some(folder) = arguments.first().map(Path::new) else {
            return Err(Error::usage("no folder is named").help("output FOLDER [INPUT.h5:/dataset]"));
        };
        let field = match arguments.get(1) {
            Some(input) => read(&world, &input.parse()?)?,
            None => {
                let grid = Grid::over(&world, [12, 10, 14]).halo(1).build()?;
                Field::from_fn(&grid, |[z, y, x]| (z * 100 + y * 10 + x) as f64)?
            }
        };
        write(&world, folder, &field)
    }))
}

fn read(world: &Comm, input: &InputSpec) -> Result<Field<f64, 3>> {
    let input = Reader::open_spec(world, input)?;
    let grid = Grid::over(world, input.cells()?).halo(1).build()?;
    let mut field = Field::new(&grid, 0.0)?;
    input.read_field(&mut field)?;
    Ok(field)
}

fn write(world: &Comm, folder: &Path, field: &Field<f64, 3>) -> Result<()> {
    let before = slices(world, &Slab::of(field)?, [1.0; 3])?;
    let mut series = Series::new(&field.grid().cells(), &[0.0; 3], &[1.0; 3])?;
    let mut changed = field.duplicate()?;
    for step in 0..2u64 {
        changed.each_mut(|_, cell| *cell *= 0.5);
        let name = format!("fields-{step:06}.h5");
        let mut file = match step {
            0 => Writer::create(world, folder.join(&name))?,
            _ => Writer::create_in_turn(world, folder.join(&name))?,
        };
        file.attribute("/", "written", format!("{:?}", file.way()))?;
        file.write_field("half", &changed)?;
        file.attribute("half", "time", step as f64 * 0.1)?;
        file.finish()?;
        series.add(step, step as f64 * 0.1, "half", &name, "half", f64::FORMAT)?;
        let mut back = changed.duplicate()?;
        back.fill(0.0);
        Reader::open(world, folder.join(&name), Some("half"))?.read_field(&mut back)?;
        let wrong = back.iter().zip(changed.iter()).filter(|(a, b)| a.0 != b.0 || a.1 != b.1).count();
        if world.allreduce(wrong, Sum)? > 0 {
            return Err(Error::io(format!("{name}: {wrong} cells differ from what was written")));
        }
    }
    let after = slices(world, &Slab::of(&changed)?, [1.0; 3])?;
    let shown = match before.zip(after) {
        Some((before, after)) => series
            .write(folder.join("fields.xdmf"))
            .and_then(|()| {
                Picture::new("output")
                    .row("before", before)
                    .row("after", after)
                    .write(folder.join("fields.png"))
            })
            .and_then(|()| files::write_json(folder.join("fields.json"), &series)),
        None => Ok(()),
    };
    world.agree(shown)
}
