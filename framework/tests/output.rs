//! Output that needs no library: XDMF against golden files, pictures, and the words of a build without HDF5.
//!
//! HDF5 itself is in `output_hdf5`.

use rankine::output::picture::{Colors, Picture, slices};
use rankine::output::xdmf::Series;
use rankine::output::{Format, Layout, Slab, check_finite};
use rankine::testing::{ranks, try_ranks};
use rankine::{ErrorKind, Result};

#[test]
fn xdmf_of_three_axes_is_as_agreed() -> Result<()> {
    let mut series = Series::new(&[2, 3, 5], &[0.0, -1.5, 10.0], &[0.5, 0.25, 2.0])?;
    series.add(0, 0.0, "temperature", "fields-000000.h5", "temperature", Format::F64)?;
    series.add(0, 0.0, "phase", "fields-000000.h5", "phase", Format::U8)?;
    series.add(100, 0.1, "temperature", "fields-000100.h5", "temperature", Format::F64)?;
    assert_eq!(series.text(), include_str!("golden/three-axes.xdmf"));
    Ok(())
}

#[test]
fn xdmf_of_two_axes_is_as_agreed() -> Result<()> {
    let mut series = Series::new(&[4, 7], &[0.0, 0.0], &[1.0, 0.1])?;
    series.add(5, 1e-9, "u & v", "fields.h5", "/step-000005/u", Format::F32)?;
    assert_eq!(series.text(), include_str!("golden/two-axes.xdmf"));
    Ok(())
}

/// Rank `rank` of `size` owns whole rows of the first axis: an uneven share, and none at all on some ranks.
fn share(cells: usize, size: usize, rank: usize) -> (usize, usize) {
    let at = |rank: usize| cells * rank * rank / (size * size);
    (at(rank), at(rank + 1) - at(rank))
}

fn decode(png: &[u8]) -> (usize, usize, Vec<u8>) {
    let mut reader = png::Decoder::new(std::io::Cursor::new(png)).read_info().unwrap();
    let mut pixels = vec![0; reader.output_buffer_size().unwrap()];
    let info = reader.next_frame(&mut pixels).unwrap();
    (info.width as usize, info.height as usize, pixels)
}

#[test]
fn slices_are_those_of_the_whole_array() {
    let cells = [5, 6, 7];
    let value = |z: usize, y: usize, x: usize| (100 * z + 10 * y + x) as f64;
    ranks([1, 2, 3, 4, 7], |world| {
        let (start, rows) = share(cells[0], world.size(), world.rank());
        let layout = Layout::new(cells, [start, 0, 0], [rows, 6, 7], 2)?;
        let [_, high, wide] = layout.padded();
        let mut data = vec![f64::NAN; layout.padded().iter().product()];
        for z in 0..rows {
            for y in 0..6 {
                for x in 0..7 {
                    data[((z + 2) * high + y + 2) * wide + x + 2] = value(start + z, y, x);
                }
            }
        }
        let found = slices(world, &Slab::new(&data, layout)?, [2.0, 1.0, 1.0])?;
        assert_eq!(found.is_some(), world.rank() == 0);
        let Some(found) = found else { return Ok(()) };
        let titles: Vec<_> = found.panels.iter().map(|panel| panel.title.as_str()).collect();
        assert_eq!(titles, ["z = 2", "y = 3", "x = 3"]);
        let plane = |up: usize, right: usize, value: &dyn Fn(usize, usize) -> f64| -> Vec<f64> {
            (0..up).flat_map(|u| (0..right).map(move |r| (u, r))).map(|(u, r)| value(u, r)).collect()
        };
        assert_eq!(found.panels[0].values, plane(6, 7, &|y, x| value(2, y, x)));
        assert_eq!(found.panels[1].values, plane(5, 7, &|z, x| value(z, 3, x)));
        assert_eq!(found.panels[2].values, plane(5, 6, &|z, y| value(z, y, 3)));
        assert_eq!(found.panels[2].spacing, [2.0, 1.0]);
        let (width, height, _) =
            decode(&Picture::new("t").row("before", found.clone()).row("after", found).png()?);
        assert!(width > height / 2 && height > 200);
        Ok(())
    });
}

#[test]
fn a_picture_has_the_colours_of_its_numbers() {
    ranks([1, 2, 3], |world| {
        // A ramp of 8 columns; rows are shared out.
        let (start, rows) = share(8, world.size(), world.rank());
        let layout = Layout::new([8, 8], [start, 0], [rows, 8], 0)?;
        let data: Vec<f32> = (0..8 * rows).map(|i| (i % 8) as f32).collect();
        let Some(ramp) = slices(world, &Slab::new(&data, layout)?, [1.0, 1.0])? else { return Ok(()) };
        let (width, _, pixels) = decode(&Picture::new("").colors(Colors::Inferno).row("", ramp).png()?);
        let table = Colors::Inferno.table();
        // A cell is 32 pixels wide; the panel starts at (16, 38).
        for column in 0..8 {
            let at = ((38 + 100) * width + 16 + 32 * column + 16) * 3;
            assert_eq!(pixels[at..at + 3], table[(column as f64 / 7.0 * 255.0).round() as usize]);
        }
        Ok(())
    });
}

#[test]
fn large_slices_are_sampled_down() {
    ranks([3], |world| {
        let (start, rows) = share(5000, world.size(), world.rank());
        let layout = Layout::new([5000, 30], [start, 0], [rows, 30], 1)?;
        let data = vec![1.0; layout.padded().iter().product()];
        if let Some(found) = slices(world, &Slab::new(&data, layout)?, [1.0, 1.0])? {
            assert_eq!(found.panels[0].points, [1024, 30]);
            assert!(found.panels[0].values.iter().all(|&value| value == 1.0));
            let (width, height, _) = decode(&Picture::new("").row("after", found).png()?);
            assert!((1024..1200).contains(&height) && width < 400, "{width} x {height}");
        }
        Ok(())
    });
}

#[test]
fn a_strip_and_pictures_that_cannot_be() {
    ranks([1, 4], |world| {
        let (start, cells) = share(100, world.size(), world.rank());
        let data = vec![0u8; cells];
        let layout = Layout::new([100], [start], [cells], 0)?;
        assert!(slices(world, &Slab::new(&data, layout)?, [0.0]).is_err());
        if let Some(strip) = slices(world, &Slab::new(&data, layout)?, [1.0])? {
            assert_eq!(strip.panels[0].points, [1, 100]);
            decode(&Picture::new("strip").row("after", strip).png()?);
        }
        Ok(())
    });
}

#[test]
fn cells_that_are_not_finite_are_counted_and_found() {
    for size in [1, 2, 3, 4] {
        let outcome = try_ranks(size, true, |world| {
            let (start, rows) = share(6, world.size(), world.rank());
            let layout = Layout::new([6, 4], [start, 0], [rows, 4], 1)?;
            // The halo is not looked at.
            let mut data = vec![f64::NAN; layout.padded().iter().product()];
            for row in 0..rows {
                for column in 0..4 {
                    let value = match (start + row, column) {
                        (3, 2) | (5, 3) => f64::INFINITY,
                        (4, 0) => f64::NAN,
                        _ => 1.0,
                    };
                    data[(row + 1) * 6 + column + 1] = value;
                }
            }
            check_finite(world, &Slab::new(&data, layout)?, "field")
        });
        let error = outcome.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Io);
        assert!(error.what().contains("3 cells are NaN or infinite, the first at index [3, 2]"), "{error}");
    }
}

#[cfg(not(feature = "hdf5"))]
#[test]
fn a_build_without_hdf5_says_so() {
    use rankine::output::{Reader, Writer};
    let folder = tempfile::tempdir().unwrap();
    for size in [1, 3] {
        let path = folder.path().join("a.h5");
        let write = try_ranks(size, true, |world| Writer::create(world, &path).map(drop)).unwrap_err();
        let read = try_ranks(size, true, |world| Reader::open(world, &path, None).map(drop)).unwrap_err();
        for error in [write, read] {
            assert_eq!(error.exit_code(), 4);
            assert!(
                error.to_string().contains("built without HDF5")
                    && error.to_string().contains("--features hdf5")
            );
        }
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0);
    }
}
