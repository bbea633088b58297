/* Runs one signature of an export through TensorFlow's C API, as a program without Python would.

     serve_c_api EXPORT_VERSION_DIR INPUT_TENSOR KIND DIMENSIONS FILE OUTPUT_TENSOR...

   KIND is string (FILE is one image, a batch of one), uint8 or float (FILE holds the values of a
   tensor of DIMENSIONS, such as 2,32,32,3). Tensors are named as saved_model_cli says, with ":0".
   Prints a line for each output: its values, or fails with TensorFlow's message. */

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tensorflow/c/c_api.h"

enum { kMaxOutputs = 8, kMaxDimensions = 8 };

static void check(int condition, const char* message) {
  if (condition) return;
  fprintf(stderr, "error: %s\n", message);
  exit(1);
}

static char* read_file(const char* path, size_t* size) {
  FILE* file = fopen(path, "rb");
  check(file != NULL, "cannot open the file");
  fseek(file, 0, SEEK_END);
  *size = (size_t)ftell(file);
  rewind(file);
  char* data = malloc(*size + 1);
  check(data != NULL && fread(data, 1, *size, file) == *size, "cannot read the file");
  fclose(file);
  return data;
}

/* "name:1" in a graph. */
static TF_Output find(TF_Graph* graph, const char* tensor) {
  char name[256];
  const char* colon = strrchr(tensor, ':');
  check(colon != NULL && (size_t)(colon - tensor) < sizeof name, "a tensor must be name:number");
  memcpy(name, tensor, (size_t)(colon - tensor));
  name[colon - tensor] = '\0';
  TF_Output output = {TF_GraphOperationByName(graph, name), atoi(colon + 1)};
  check(output.oper != NULL, "no such tensor");
  return output;
}

static TF_Tensor* make_string(const char* data, size_t size) {
  const int64_t dimensions[] = {1};
  TF_Tensor* tensor = TF_AllocateTensor(TF_STRING, dimensions, 1, sizeof(TF_TString));
  TF_TString* string = TF_TensorData(tensor);
  TF_TString_Init(string);
  TF_TString_Copy(string, data, size);
  return tensor;
}

static TF_Tensor* make_numbers(TF_DataType type, char* text, const char* data, size_t size) {
  int64_t dimensions[kMaxDimensions];
  int count = 0;
  size_t elements = 1;
  for (char* part = strtok(text, ","); part != NULL; part = strtok(NULL, ",")) {
    check(count < kMaxDimensions, "too many dimensions");
    dimensions[count] = atoll(part);
    elements *= (size_t)dimensions[count++];
  }
  check(size == elements * TF_DataTypeSize(type), "the file does not fit the dimensions");
  TF_Tensor* tensor = TF_AllocateTensor(type, dimensions, count, size);
  memcpy(TF_TensorData(tensor), data, size);
  return tensor;
}

static void print(const TF_Tensor* tensor) {
  const int64_t count = TF_TensorElementCount(tensor);
  for (int64_t i = 0; i < count; ++i) {
    if (TF_TensorType(tensor) == TF_INT64) {
      printf("%lld ", (long long)((const int64_t*)TF_TensorData(tensor))[i]);
    } else {
      check(TF_TensorType(tensor) == TF_FLOAT, "an output must be float or int64");
      printf("%.9g ", ((const float*)TF_TensorData(tensor))[i]);
    }
  }
  printf("\n");
}

int main(int argc, char** argv) {
  check(argc >= 7 && argc - 6 <= kMaxOutputs, "wrong arguments");
  TF_Status* status = TF_NewStatus();
  TF_Graph* graph = TF_NewGraph();
  TF_SessionOptions* options = TF_NewSessionOptions();
  const char* tags[] = {"serve"};
  TF_Session* session =
      TF_LoadSessionFromSavedModel(options, NULL, argv[1], tags, 1, graph, NULL, status);
  check(TF_GetCode(status) == TF_OK, TF_Message(status));

  size_t size;
  char* data = read_file(argv[5], &size);
  const TF_Output input = find(graph, argv[2]);
  TF_Tensor* value = strcmp(argv[3], "string") == 0
                         ? make_string(data, size)
                         : make_numbers(strcmp(argv[3], "uint8") == 0 ? TF_UINT8 : TF_FLOAT,
                                        argv[4], data, size);
  const int count = argc - 6;
  TF_Output outputs[kMaxOutputs];
  TF_Tensor* values[kMaxOutputs] = {NULL};
  for (int i = 0; i < count; ++i) outputs[i] = find(graph, argv[6 + i]);
  TF_SessionRun(session, NULL, &input, &value, 1, outputs, values, count, NULL, 0, NULL, status);
  check(TF_GetCode(status) == TF_OK, TF_Message(status));
  for (int i = 0; i < count; ++i) {
    print(values[i]);
    TF_DeleteTensor(values[i]);
  }

  TF_DeleteTensor(value);
  free(data);
  TF_CloseSession(session, status);
  TF_DeleteSession(session, status);
  TF_DeleteSessionOptions(options);
  TF_DeleteGraph(graph);
  TF_DeleteStatus(status);
  return 0;
}
