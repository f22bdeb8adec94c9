// Boost.JSON, compiled here once for the whole project (its header-only mode): the programs stay static.
#include <boost/json/src.hpp>
