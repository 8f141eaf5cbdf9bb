/* What mpi.h says with macros, in a form that Rust can read: one struct, filled once at start.
 * No communication and no logic; the field order is that of `Constants` in constants.rs. */

#include <mpi.h>
#include <stddef.h>

struct rankine_constants {
    MPI_Comm comm_world;
    MPI_Comm comm_self;
    MPI_Comm comm_null;
    MPI_Errhandler errors_return;
    MPI_Request request_null;
    MPI_Datatype byte;
    MPI_Datatype scalars[14]; /* in the order of `Scalar`; MPI_DATATYPE_NULL where MPI has none */
    MPI_Op ops[10];           /* in the order of `Builtin` */
    MPI_Op replace;
    MPI_Op no_op;
    MPI_Info info_null;
    MPI_Win win_null;
    void *in_place;
    int any_source;
    int any_tag;
    int proc_null;
    int undefined;
    int comm_type_shared;
    int lock_exclusive;
    int lock_shared;
    int mode_nosucceed;
    int mode_nocheck;
    int thread_funneled;
    int thread_serialized;
    int thread_multiple;
    int tag_ub;
    int err_truncate;
    int err_in_status;
    int max_error_string;
    int max_processor_name;
    int max_library_version_string;
    int bytes_at; /* where a status keeps its number of bytes as a size_t; -1 where it is not that simple */
};

void rankine_mpi_constants(struct rankine_constants *c)
{
    *c = (struct rankine_constants){
        .comm_world = MPI_COMM_WORLD,
        .comm_self = MPI_COMM_SELF,
        .comm_null = MPI_COMM_NULL,
        .errors_return = MPI_ERRORS_RETURN,
        .request_null = MPI_REQUEST_NULL,
        .byte = MPI_BYTE,
        .scalars = {
            MPI_INT8_T, MPI_INT16_T, MPI_INT32_T, MPI_INT64_T, MPI_DATATYPE_NULL,
            MPI_UINT8_T, MPI_UINT16_T, MPI_UINT32_T, MPI_UINT64_T, MPI_DATATYPE_NULL,
            MPI_FLOAT, MPI_DOUBLE, MPI_C_FLOAT_COMPLEX, MPI_C_DOUBLE_COMPLEX,
        },
        .ops = {
            MPI_SUM, MPI_PROD, MPI_MIN, MPI_MAX, MPI_BAND, MPI_BOR, MPI_BXOR, MPI_LAND, MPI_LOR, MPI_LXOR,
        },
        .replace = MPI_REPLACE,
        .no_op = MPI_NO_OP,
        .info_null = MPI_INFO_NULL,
        .win_null = MPI_WIN_NULL,
        .in_place = MPI_IN_PLACE,
        .any_source = MPI_ANY_SOURCE,
        .any_tag = MPI_ANY_TAG,
        .proc_null = MPI_PROC_NULL,
        .undefined = MPI_UNDEFINED,
        .comm_type_shared = MPI_COMM_TYPE_SHARED,
        .lock_exclusive = MPI_LOCK_EXCLUSIVE,
        .lock_shared = MPI_LOCK_SHARED,
        .mode_nosucceed = MPI_MODE_NOSUCCEED,
        .mode_nocheck = MPI_MODE_NOCHECK,
        .thread_funneled = MPI_THREAD_FUNNELED,
        .thread_serialized = MPI_THREAD_SERIALIZED,
        .thread_multiple = MPI_THREAD_MULTIPLE,
        .tag_ub = MPI_TAG_UB,
        .err_truncate = MPI_ERR_TRUNCATE,
        .err_in_status = MPI_ERR_IN_STATUS,
        .max_error_string = MPI_MAX_ERROR_STRING,
        .max_processor_name = MPI_MAX_PROCESSOR_NAME,
        .max_library_version_string = MPI_MAX_LIBRARY_VERSION_STRING,
#ifdef OPEN_MPI
        .bytes_at = offsetof(MPI_Status, _ucount),
#else
        .bytes_at = -1,
#endif
    };
}
