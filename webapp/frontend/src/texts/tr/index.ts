import account from "./account.json";
import common from "./common.json";
import federation from "./federation.json";
import history from "./history.json";
import log from "./log.json";
import predict from "./predict.json";
import result from "./result.json";
import server from "./server.json";
import signIn from "./signIn.json";
import users from "./users.json";
import versions from "./versions.json";

export default { account, common, federation, history, log, predict, result, server, signIn, users, versions };
