//! The conformance suite: one list of cases, run on both engines.
//!
//! `cargo test` runs every case on the Local engine at each number of ranks it is declared for, checked and
//! unchecked, and once with ranks that take turns; under `mpirun` every rank runs the cases that allow its world's size
//! on the Mpi engine. A case is a function of a communicator, and knows of no engine.

mod alltoallw;
mod buckets;
#[cfg(feature = "hdf5")]
mod checkpoints;
mod collections;
mod collective;
mod crowd;
mod dense;
mod dice;
mod epochs;
mod errors;
mod fft;
mod fields;
#[cfg(feature = "hdf5")]
mod files;
mod forms;
mod grid_alltoall;
mod groups;
mod levels;
mod many;
mod matched;
mod matrices;
mod measures;
mod misuse;
mod modes;
mod moving;
mod neighborhood;
mod nonblocking;
mod operators;
mod p2p;
mod plans;
mod random;
mod redistribution;
mod reducing;
mod reference;
mod refinements;
mod reproducible;
mod scratch;
mod solvers;
mod soundness;
mod sparse;
#[cfg(feature = "hdf5")]
mod stores;
mod stress;
mod topology;
mod traveling;
mod types;
mod under_way;
mod values;
mod views;
mod warned;
mod windows;

use rankine::{Comm, Result, testing};
use std::process::ExitCode;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

/// One case: what it is called, on how many ranks it makes sense, and what it does.
struct Case {
    name: &'static str,
    /// The fewest ranks it needs.
    least: usize,
    /// In which mode it makes sense.
    mode: Mode,
    run: fn(&Comm) -> Result<()>,
}

#[derive(Clone, Copy, PartialEq)]
enum Mode {
    Any,
    /// It relies on small sends being buffered, and so cannot run checked.
    Buffered,
    /// It makes a mistake that only the checked mode looks for.
    CheckedOnly,
    /// It makes a mistake that ends an unchecked job under MPI, which may have written past the buffer; the Local
    /// engine reports it in either mode.
    CheckedMpi,
}

impl Mode {
    fn allows(self, checked: bool, engine: &str) -> bool {
        match self {
            Mode::Any => true,
            Mode::Buffered => !checked,
            Mode::CheckedOnly => checked,
            Mode::CheckedMpi => checked || engine == "local",
        }
    }
}

/// `cases![module: fewest ranks, mode [case, case]; …]`
macro_rules! cases {
    ($($module:ident: $least:literal, $mode:ident [$($name:ident),* $(,)?];)*) => {{
        let mut cases = Vec::new();
        $({
            let (least, mode) = ($least, Mode::$mode);
            $(cases.push(Case {
                name: concat!(stringify!($module), "::", stringify!($name)),
                least,
                mode,
                run: $module::$name,
            });)*
        })*
        cases
    }};
}

/// Numbers of ranks on the Local engine; under mpirun the launcher says.
const LOCAL_RANKS: [usize; 7] = [1, 2, 3, 4, 5, 7, 8];

fn all() -> Vec<Case> {
    let mut all = always();
    all.extend(with_hdf5());
    all
}

/// What takes a build with HDF5.
#[cfg(feature = "hdf5")]
fn with_hdf5() -> Vec<Case> {
    cases![
        files: 1, Any [every_number, one_to_four_axes, the_same_bytes_as_one_rank, staggered_fields, parts_and_attributes, chunks_and_compression, mistakes, vectors];
        stores: 1, Any [matrices, matrices_that_are_none, collections, crowds];
        checkpoints: 1, Any [other_ranks_go_on, damaged_ones_are_passed_over, those_of_others_are_refused];
    ]
}

#[cfg(not(feature = "hdf5"))]
fn with_hdf5() -> Vec<Case> {
    Vec::new()
}

fn always() -> Vec<Case> {
    cases![
        fields: 1, Any [corners_on_a_torus, several_in_one_message, staggered_waves, on_one_axis, on_two_axes, on_three_axes, on_four_axes, given_edges, changed_behind];
        measures: 1, Any [norms_and_dots_agree_with_a_loop, faces_are_counted_once, ties_go_to_the_lowest_index, the_last_face_may_have_the_extreme, histograms_count_every_value_once, reproducible_sums_are_exact_ones, checksums_follow_their_formula];
        levels: 1, Any [on_one_axis, on_two_axes, on_three_axes, on_four_axes, poisson_by_v_cycles];
        traveling: 1, Any [rows_go_where_they_are_said, all_to_one_and_back, any_type_and_many_rows, mistakes];
        p2p: 1, Any [ring, to_self_nonblocking, zero_length, every_type, order_is_kept, shorter_message, vectors_of_any_length, sendrecv_shift, probing];
        p2p: 2, Any [wildcards, large_messages, moved_large_vector, tags_select, many_sizes];
        p2p: 1, Buffered [to_self_blocking, buffered_before_received, moved_vectors];
        nonblocking: 1, Any [scope_gives_buffers_back, forgotten_handles_complete, owned_buffers, many_outstanding, test_until_done, scope_error_takes_back];
        nonblocking: 2, Any [receiver_posts_first, dropped_owned_receive_is_cancelled, computing_receiver_is_served, receiver_elsewhere_serves_all];
        collective: 1, Any [barriers_order, bcast_from_every_root, reductions_agree_with_reference, allreduce_same_bits_everywhere, non_commutative_order, gathers, zero_lengths, arrays_and_functions, large_reductions, records];
        groups: 1, Any [split_by_parity, split_with_none, dup_keeps_messages_apart, nested_splits, many_communicators];
        groups: 1, Any [groups_of_communicators, comparisons, create_from_groups, create_group_without_the_others, many_groups_are_freed, shared_memory, names_and_attached_values];
        groups: 2, Any [members_that_disagree];
        topology: 1, Any [grids_and_coordinates, shifts, sub_grids, ranks_left_over, graphs_from_edges_anywhere, adjacent_graphs, bad_topologies, shift_exchanges];
        topology: 2, CheckedOnly [disagreeing_topologies];
        neighborhood: 1, Any [cart_against_reference, graph_against_reference, edges_leave_blocks_alone, two_ranks_in_a_ring, one_way_edges, large_blocks, apart_from_other_messages, plans_keep_their_buffers, bad_lengths];
        neighborhood: 2, Any [neighbors_of_other_types];
        neighborhood: 2, CheckedMpi [neighbors_that_disagree];
        errors: 1, Any [bad_ranks_tags_and_lengths, agree_names_one];
        errors: 2, Any [truncation, wrong_type, wrong_type_nonblocking, wrong_type_after_waiting];
        errors: 2, CheckedMpi [truncation_of_long_messages, sender_survives_receivers_error, collectives_that_disagree];
        types: 1, Any [structs_travel, structs_reduce_field_by_field, two_structs_are_told_apart, every_width_reduces, arrays_of_arrays, nothing_at_all, large_structs];
        types: 2, CheckedMpi [structs_that_share_a_code];
        operators: 1, Any [logical, all_and_any, first_and_last, functions_said_to_commute, located_extremes, located_of_every_type];
        moving: 1, Any [bcast, gather, gatherv, scatter, scatterv, allgather, allgatherv, alltoall, alltoallv, alltoallv_in_place];
        reducing: 1, Any [reduce, allreduce, scan, exscan, reduce_scatter, reduce_scatter_block];
        under_way: 1, Any [many_kinds_at_once, blocking_meanwhile, hundreds_outstanding, forgotten, dropped, wildcards_see_no_collective, large, failed_scope, plans_out_of_turn];
        under_way: 2, Any [panicking_operator];
        random: 2, Any [correct_programs];
        misuse: 1, Any [roots, lengths, blocks];
        misuse: 2, Any [overlaps];
        misuse: 2, CheckedMpi [disagreements, counts_that_disagree, nonblocking_disagreements];
        windows: 1, Any [put_and_get_every_type, accumulate_every_type, tickets_under_contention, compare_and_swap, exclusive_locks_exclude, readers_and_writers, halo_as_by_messages, passive_queue, several_locks_at_once, vectors_come_back, uneven_and_empty, large_accesses, many_windows, shared_memory, mistakes_are_reported, windows_of_groups];
        epochs: 1, Any [large_gets_are_there, random_epochs, epochs_that_fail, panics_in_epochs];
        epochs: 3, Any [posts_for_a_later_epoch];
        epochs: 2, Any [post_and_start];
        windows: 2, Any [types_must_agree, windows_that_disagree];
        windows: 2, CheckedMpi [phases_that_disagree];
        reproducible: 1, Any [sums_keep_their_bits, sums_of_special_values, elements_keep_their_bits, accumulators_merge];
        reproducible: 2, Any [lengths_that_differ];
        modes: 1, Any [synchronous_sends_wait, buffered_sends_never_wait, modes_keep_order, ready_sends, exchanges, bad_arguments, nobody_receives];
        modes: 2, Any [blocking_synchronous_sends];
        matched: 1, Any [a_matched_message_is_reserved, nonblocking_receives_of_a_message, dropped_messages_are_lost, forgotten_messages_leave_the_others, misfits, probing_until_it_comes, unknown_lengths];
        matched: 2, Any [a_matched_message_is_late];
        many: 1, Any [ten_thousand_receives, ten_thousand_unexpected, ten_thousand_sends, any_and_some, sets_of_any_kind, one_of_them_fails, a_wrong_type_among_them, wildcards_take_their_turn];
        many: 2, Any [wildcards_under_load];
        plans: 1, Any [again_and_again, swapped_buffers, misuse, cancelled, misfits, dropped_and_forgotten, of_every_kind];
        soundness: 1, Any [forgotten_receives_leak, forgotten_sends_arrive, dropped_sets_are_cancelled, cancelled_receives, panic_in_a_scope, wrong_lengths_in_a_scope, nested_scopes];
        stress: 1, Any [random_traffic, random_collectives];
        values: 1, Any [round_trips, sends_are_tested_until_done, receives_are_tested_until_done, hostile_bytes, random_bytes, unwritable_values_are_not_sent, collectives, folds_keep_rank_order, one_failure_is_everybodys, collectives_keep_out_of_the_way];
        values: 2, Any [never_mixed_with_elements];
        values: 1, Buffered [to_self];
        sparse: 1, Any [patterns, random_graphs_one_after_the_other, a_rank_that_errs_is_alone, slices_from_anywhere, sparse_values];
        buckets: 1, Any [a_round_comes_with_the_next, two_at_once, more_than_there_is_room_for];
        grid_alltoall: 1, Any [agrees_with_alltoallv, wrong_number_of_messages];
        views: 1, Any [any_layout_to_any_layout, views_come_back, tested_until_done, bad_ranks_and_types, failed_scope_takes_back, alltoall_transposes, alltoall_with_a_wrong_length];
        alltoallw: 1, Any [every_pair_its_type, pairs_that_are_not_named, refused_and_failed];
        alltoallw: 2, Any [pairs_that_disagree];
        views: 2, Any [columns_are_slices, lengths_that_differ];
        redistribution: 1, Any [every_pair_of_decompositions, any_element, axes_in_any_order, sub_communicators, many_small_pieces_and_large_ones, again_and_again, keeps_out_of_the_way, plans_that_cannot_be];
        refinements: 1, Any [on_one_axis, on_two_axes, on_three_axes, on_four_axes, what_is_local_is_not_sent, again_and_again, what_cannot_be_is_refused];
        matrices: 1, Any [products, triplets_from_anywhere, products_keep_their_bits, scattered_columns, misuse, files_of_every_kind, files_come_back, hostile_files];
        dense: 1, Any [layouts_are_bijections, moves, panels, products, planned_products, norms, files, misuse];
        solvers: 1, Any [poisson_in_two_dimensions, dense_references, a_stencil_without_a_matrix, iterations_keep_their_bits, gauss_seidel_by_blocks, ends_that_are_not_solutions];
        collections: 1, Any [sorts, keys_by_key, words, chains];
        warned: 1, Any [once_for_all];
        crowd: 1, Any [particles_move, ghosts, ghosts_again, curves, dealt_after_moving, lost_particles];
        fft: 1, Any [against_the_definition, uneven_grids, some_axes, single_waves, large, one_axis_over_all_ranks, a_long_prime, single_precision_and_bringing_it_back, fields_on_other_grids];
        stress: 2, Any [hammer_one_receiver, patience_races_with_the_receiver];
    ]
}

fn main() -> ExitCode {
    let launcher = rankine::launch::Launcher::detect(|name| std::env::var(name).ok());
    let under_launcher = matches!(launcher, Ok(Some(_)));
    if under_launcher { under_mpirun() } else { on_threads() }
}

fn under_mpirun() -> ExitCode {
    let checked = std::env::var("RANKINE_CHECKED").is_ok_and(|value| value == "1");
    // As under `cargo test`: cases with this in their name.
    let only = std::env::args().nth(1);
    rankine::launch::exit(rankine::Launch::new().checked(checked).run(move |world| {
        let mut passed = 0;
        let under_way = Arc::new(Mutex::new((Instant::now(), "")));
        if world.rank() == 0 {
            name_what_hangs(under_way.clone());
        }
        for case in all() {
            if only.as_ref().is_some_and(|only| !case.name.contains(only.as_str())) {
                continue;
            }
            if case.least <= world.size() && case.mode.allows(checked, world.engine_name()) {
                *under_way.lock().expect("nobody panics with it") = (Instant::now(), case.name);
                (case.run)(&world).map_err(|error| error.help(format!("in case {}", case.name)))?;
                // Whatever a case left behind shows in the case that left it.
                world.barrier()?;
                passed += 1;
            }
        }
        if world.rank() == 0 {
            let (ranks, engine) = (world.size(), world.engine_name());
            say(&format!("conformance on {ranks} ranks ({engine}, checked: {checked})"));
            say(&format!("{passed} passed, 0 failed"));
            assert!(engine == "mpi" && passed > if only.is_some() { 0 } else { 30 });
        }
        Ok(())
    }))
}

/// A hang that the watch cannot see, as in the library, has a name at least.
fn name_what_hangs(under_way: Arc<Mutex<(Instant, &'static str)>>) {
    std::thread::spawn(move || {
        loop {
            std::thread::sleep(Duration::from_secs(60));
            let (since, name) = *under_way.lock().expect("nobody panics with it");
            if since.elapsed() > Duration::from_secs(60) {
                say(&format!("{name} has not ended for {:.0} s", since.elapsed().as_secs_f64()));
            }
        }
    });
}

#[allow(clippy::print_stdout)]
fn say(line: &str) {
    println!("{line}");
}

fn on_threads() -> ExitCode {
    let arguments = libtest_mimic::Arguments::from_args();
    let mut trials = Vec::new();
    for case in all() {
        for ranks in LOCAL_RANKS.into_iter().filter(|&ranks| ranks >= case.least) {
            for checked in [false, true] {
                if !case.mode.allows(checked, "local") {
                    continue;
                }
                let name = format!("{}::{ranks}_ranks{}", case.name, if checked { "_checked" } else { "" });
                trials.push(libtest_mimic::Trial::test(name, move || {
                    testing::try_ranks(ranks, checked, case.run).map_err(|error| error.to_string().into())
                }));
            }
        }
        // Once more with ranks that take turns, as they do where orders are explored.
        for checked in [false, true].into_iter().filter(|&checked| case.mode.allows(checked, "local")) {
            let name = format!("{}::in_turns{}", case.name, if checked { "_checked" } else { "" });
            trials.push(libtest_mimic::Trial::test(name, move || {
                let one = testing::Orders::Random { seed: 1, runs: 1 };
                let explored = testing::Trial::new(3).checked(checked).explore(one, case.run);
                explored.map(drop).map_err(|found| found.to_string().into())
            }));
        }
    }
    libtest_mimic::run(&arguments, trials).exit_code()
}
