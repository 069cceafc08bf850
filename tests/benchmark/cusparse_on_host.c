/* What benchmark/cusparse.py calls of cuSPARSE, on the host. Where NVIDIA's headers are found the
   compiler checks the prototypes against them. Every object knows its kind: an argument in the
   wrong place is refused. */
#include <stdint.h>
#include <stdlib.h>

#if __has_include(<cusparse.h>) && __has_include(<driver_types.h>) && __has_include(<cuComplex.h>)
#define WITH_CUSPARSE_H
#include <cusparse.h>
#define API cusparseStatus_t CUSPARSEAPI
#define HANDLE cusparseHandle_t
#define SPARSE cusparseSpMatDescr_t
#define CONST_SPARSE cusparseConstSpMatDescr_t
#define DENSE cusparseDnMatDescr_t
#define CONST_DENSE cusparseConstDnMatDescr_t
#define STREAM cudaStream_t
#define OP cusparseOperation_t
#define INDEX cusparseIndexType_t
#define BASE cusparseIndexBase_t
#define TYPE cudaDataType
#define ORDER cusparseOrder_t
#define ALG cusparseSpMMAlg_t
#define DONE CUSPARSE_STATUS_SUCCESS
#define REFUSED CUSPARSE_STATUS_INVALID_VALUE
#else
#define API int
typedef void *HANDLE, *SPARSE, *DENSE, *STREAM;
typedef const void *CONST_SPARSE, *CONST_DENSE;
typedef int OP, INDEX, BASE, TYPE, ORDER, ALG;
#define DONE 0
#define REFUSED 3
#endif

enum { HANDLE_KIND = 101, SPARSE_KIND, DENSE_KIND };
enum { INDEX_32 = 2, INDEX_64 = 3, ROW_MAJOR = 2, FLOAT = 0 }; /* cusparse.h, library_types.h */

typedef struct {
    int kind, index;
    int64_t rows, cols, entries;
    void *indptr, *indices, *values;
    void *stream, *prepared;
} Object;

/* What the tests look at. */
int live = 0, products = 0, preparations = 0, last_algorithm = -1, fail_with = 0;
void *last_stream = NULL;

static Object *make(int kind) {
    Object *o = calloc(1, sizeof *o);
    o->kind = kind;
    live++;
    return o;
}

static int is(const void *o, int kind) { return o && ((const Object *)o)->kind == kind; }

static API destroy(const void *o, int kind) {
    if (!is(o, kind)) return REFUSED;
    free((void *)o);
    live--;
    return DONE;
}

API cusparseCreate(HANDLE *handle) {
    *handle = (HANDLE)make(HANDLE_KIND);
    return DONE;
}

API cusparseDestroy(HANDLE handle) { return destroy(handle, HANDLE_KIND); }
API cusparseDestroySpMat(CONST_SPARSE A) { return destroy(A, SPARSE_KIND); }
API cusparseDestroyDnMat(CONST_DENSE X) { return destroy(X, DENSE_KIND); }

API cusparseSetStream(HANDLE handle, STREAM stream) {
    if (!is(handle, HANDLE_KIND)) return REFUSED;
    ((Object *)handle)->stream = (void *)stream;
    return DONE;
}

const char *cusparseGetErrorName(
#ifdef WITH_CUSPARSE_H
    cusparseStatus_t status
#else
    int status
#endif
) {
    return status == 2 ? "CUSPARSE_STATUS_ALLOC_FAILED" : "CUSPARSE_STATUS_INVALID_VALUE";
}

API cusparseCreateCsr(SPARSE *A, int64_t rows, int64_t cols, int64_t entries, void *indptr,
                      void *indices, void *values, INDEX indptr_type, INDEX index_type, BASE base,
                      TYPE type) {
    if (indptr_type != index_type || (index_type != INDEX_32 && index_type != INDEX_64) ||
        base != 0 || type != FLOAT)
        return REFUSED;
    Object *o = make(SPARSE_KIND);
    o->rows = rows, o->cols = cols, o->entries = entries, o->index = index_type;
    o->indptr = indptr, o->indices = indices, o->values = values;
    *A = (SPARSE)o;
    return DONE;
}

API cusparseCreateDnMat(DENSE *X, int64_t rows, int64_t cols, int64_t ld, void *values, TYPE type,
                        ORDER order) {
    if (ld != cols || type != FLOAT || order != ROW_MAJOR) return REFUSED;
    Object *o = make(DENSE_KIND);
    o->rows = rows, o->cols = cols, o->values = values;
    *X = (DENSE)o;
    return DONE;
}

API cusparseDnMatSetValues(DENSE X, void *values) {
    if (!is(X, DENSE_KIND)) return REFUSED;
    ((Object *)X)->values = values;
    return DONE;
}

static int fits(const void *handle, OP opA, OP opB, const void *alpha, const void *A,
                const void *X, const void *beta, const void *Y, TYPE type, ALG alg) {
    const Object *a = A, *x = X, *y = Y;
    return is(handle, HANDLE_KIND) && is(A, SPARSE_KIND) && is(X, DENSE_KIND) &&
           is(Y, DENSE_KIND) && opA == 0 && opB == 0 && *(const float *)alpha == 1 &&
           *(const float *)beta == 0 && type == FLOAT && (alg == 6 || alg == 12) &&
           a->cols == x->rows && a->rows == y->rows && x->cols == y->cols && x->values != y->values;
}

API cusparseSpMM_bufferSize(HANDLE handle, OP opA, OP opB, const void *alpha, CONST_SPARSE A,
                            CONST_DENSE X, const void *beta, DENSE Y, TYPE type, ALG alg,
                            size_t *size) {
    if (!fits(handle, opA, opB, alpha, A, X, beta, Y, type, alg)) return REFUSED;
    *size = 1234;
    return DONE;
}

API cusparseSpMM_preprocess(HANDLE handle, OP opA, OP opB, const void *alpha, CONST_SPARSE A,
                            CONST_DENSE X, const void *beta, DENSE Y, TYPE type, ALG alg,
                            void *buffer) {
    if (!fits(handle, opA, opB, alpha, A, X, beta, Y, type, alg)) return REFUSED;
    ((Object *)A)->prepared = buffer;
    ((char *)buffer)[1233] = 1; /* so large it must be */
    preparations++;
    return DONE;
}

API cusparseSpMM(HANDLE handle, OP opA, OP opB, const void *alpha, CONST_SPARSE A, CONST_DENSE X,
                 const void *beta, DENSE Y, TYPE type, ALG alg, void *buffer) {
    const Object *a = (const Object *)A, *x = (const Object *)X, *y = (const Object *)Y;
    if (fail_with) return fail_with;
    if (!fits(handle, opA, opB, alpha, A, X, beta, Y, type, alg) || buffer != a->prepared)
        return REFUSED;
    const int32_t *p32 = a->indptr, *i32 = a->indices;
    const int64_t *p64 = a->indptr, *i64 = a->indices;
    const int wide = a->index == INDEX_64;
    for (int64_t i = 0; i < a->rows; i++) {
        for (int64_t d = 0; d < x->cols; d++) {
            double sum = 0;
            for (int64_t e = wide ? p64[i] : p32[i]; e < (wide ? p64[i + 1] : p32[i + 1]); e++)
                sum += ((const float *)a->values)[e] *
                       (double)((const float *)x->values)[(wide ? i64[e] : i32[e]) * x->cols + d];
            ((float *)y->values)[i * x->cols + d] = (float)sum;
        }
    }
    products++, last_algorithm = alg, last_stream = ((Object *)handle)->stream;
    return DONE;
}
