// rdma_probe contexts|domains DEVICE: opens two contexts of an RDMA device, or one with two protection domains, and says
// of each whether it was to be had, with the errno if not. Keeps them until it is killed.
// The kernel's words for it are those of rdma/ib_user_verbs.h; no library is needed.
#include <fcntl.h>
#include <rdma/ib_user_verbs.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <string_view>

namespace {

template <typename Command, typename Response>
struct Request {
  ib_uverbs_cmd_hdr header;
  Command command{};

  Request(unsigned number, Response& response) : header{} {
    header.command = number;
    header.in_words = sizeof(Request) / 4;
    header.out_words = sizeof(Response) / 4;
    command.response = reinterpret_cast<__u64>(&response);
  }
};

template <typename Command, typename Response>
void ask(int device, unsigned number, const char* what) {
  Response response{};
  const Request<Command, Response> request(number, response);
  if (write(device, &request, sizeof request) == static_cast<ssize_t>(sizeof request))
    std::printf("%s\n", what);
  else
    std::printf("no %s: errno %d\n", what, errno);
}

// A context belongs to the open file: no second one can be asked for by the same.
int open_context(const char* path) {
  const int device = open(path, O_RDWR | O_CLOEXEC);
  if (device < 0) std::printf("no device: errno %d\n", errno);
  ask<ib_uverbs_get_context, ib_uverbs_get_context_resp>(device, IB_USER_VERBS_CMD_GET_CONTEXT, "context");
  return device;
}

}  // namespace

int main(int count, char** arguments) {
  if (count != 3) return 2;
  const int device = open_context(arguments[2]);
  if (std::string_view(arguments[1]) == "contexts") {
    open_context(arguments[2]);
  } else {
    for (int i = 0; i < 2; ++i)
      ask<ib_uverbs_alloc_pd, ib_uverbs_alloc_pd_resp>(device, IB_USER_VERBS_CMD_ALLOC_PD, "domain");
  }
  std::puts("done");
  std::fflush(stdout);
  for (;;) pause();
}
