// What the container runs: nothing.
int main(void) { return 0; }
