// Calls an API through clients that were made from the gateway's document.
import { call as heyCall } from './hey/index';
import { client } from './hey/client.gen';
import { call as orvalCall } from './orval';
import { given, here, said } from './given';

const [owner, slug] = given.api!.split('/');
client.setConfig({ baseUrl: given.base, auth: given.key });
const hey = await heyCall({ path: { owner, slug }, body: given.body, headers: given.headers });
said('hey-api', hey.response?.status, hey.data ?? hey.error);
here();
const orval = await orvalCall(owner, slug, given.body, { headers: { 'X-Consumer-Key': given.key, ...given.headers } });
said('orval', orval.status, orval.data);
